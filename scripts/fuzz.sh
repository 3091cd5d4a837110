#!/usr/bin/env bash
# Runs the readers of strangers' bytes on random input, guided by coverage (libFuzzer, which the toolchain brings).
#   scripts/fuzz.sh [RUNS] [TARGET...]     10,000,000 executions of every target unless said otherwise
# It begins with the sound inputs of Tests/Fuzz/Targets and with those that earlier runs kept (Tests/Fuzz/Corpus).
# Inputs that brought something new are kept in .build/fuzz/corpus, those that crash in .build/fuzz; run one of them
# again with: swift run dropreel-fuzz TARGET --file PATH
set -euo pipefail
cd "$(dirname "$0")/.."
runs=${1:-10000000}
shift || true
build=.build/fuzz

swift build -c release --product dropreel-fuzz --sanitize fuzzer -Xswiftc -DLIBFUZZER --build-path "$build"
fuzzer=$build/release/dropreel-fuzz
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then targets=(safetensors pickle archive rule prompt jpeg png film); fi
for target in "${targets[@]}"; do
    seeds=$build/seeds/$target
    corpus=$build/corpus/$target
    mkdir -p "$corpus"
    export DROPREEL_FUZZ_TARGET=$target
    DROPREEL_FUZZ_SEEDS=$seeds "$fuzzer" -runs=1 2>/dev/null
    echo "== $target"
    nice "$fuzzer" "$corpus" "$seeds" -runs="$runs" -max_len=1024 -timeout=10 \
        -rss_limit_mb=2048 -print_final_stats=1 -artifact_prefix="$build/crash-$target-" 2>&1 |
        grep -E "^#[0-9]+\s+DONE|^stat::|ERROR|SUMMARY|Test unit" || true
done
