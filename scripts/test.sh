#!/usr/bin/env bash
# Builds everything and runs the whole suite: the golden cases through the binary, then every test.
# Suites that start services, servers and watchers run one after the other; the rest run side by side.
set -euo pipefail
cd "$(dirname "$0")/.."
one_by_one='^(IntakeTests|WatchFolderTests|SambaTests)\.'
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# What failed stands again at the end, where it is found in a log of thousands of lines.
run() {
    if swift test --skip-build "$@" 2>&1 | tee "$log"; then return; fi
    grep -A 2 ' recorded an issue ' "$log" | cut -c 1-2000 || true
    grep '^✘' "$log" | tail -n 1 || tail -n 1 "$log"
    exit 1
}

swift build --build-tests
binaries=$(swift build --show-bin-path)

echo "Golden cases:"
"$binaries/dropreel" selftest --reference Tests/Golden --quiet

run --skip "$one_by_one"
run --no-parallel --filter "$one_by_one"
