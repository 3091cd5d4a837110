#!/usr/bin/env bash
# Trains the judge on the GPU while the processor's cores make the films, packs both, then judges as long as time is left.
#   judge/on_device.sh DROPREEL MODELS PHOTOS OUT SECONDS [VAE]
# DROPREEL: the program; MODELS: a folder with the model; PHOTOS: train/ and heldout/; OUT: what is kept; SECONDS: for
# making films; VAE: the exported codec. JUDGE_SECONDS (70) for the classifier, JUDGING (60) for judging, 0 for none.
set -uo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
dropreel=$1 models=$2 photos=$3 out=$4 seconds=$5 vae=${6:-}
python=${PYTHON:-python3}
work=${JUDGED:-/tmp/judged}
mkdir -p "$work" "$out"
weights=$here/judge/weights/judge.safetensors
list=(--out "$work" --models "$models" --photos "$photos/heldout" --count "${COUNT:-300}" --images "${IMAGES:-50}" --variants
    seed=1@16 steps=2@75 steps=1@75 language=zh@75 attention=original@40 aspect_ratio=9:16@24 aspect_ratio=1:1@24
    aspect_ratio=4:3@16 aspect_ratio=3:4@16 frames=33@24 frames=161@16)
if [[ ! -f $weights ]]; then
    "$python" "$here/train_judge.py" --out "$work/judge.safetensors" --seconds "${JUDGE_SECONDS:-70}" --check "${CHECK:-384}" \
        --photos "$photos" ${vae:+--vae "$vae"} >"$out/judge.log" 2>&1 &
    trained=$! weights=$work/judge.safetensors
fi
cores=$(nproc)
"$python" "$here/evaluate.py" --make --dropreel "$dropreel" "${list[@]}" --processes $((cores / 2)) --threads 2 --limit "$seconds"
(cd "$work/films" && ls *.mp4 *.json | grep -v part | tar cf - -T - | split -b 15M - "$out/films.tar.")
[[ -n ${trained:-} ]] && wait "$trained"
cp "$weights" "$out"/judge.safetensors
if [[ ${JUDGING:-60} != 0 ]]; then
    timeout "${JUDGING:-60}" "$python" "$here/evaluate.py" --films "$work/films" --weights "$weights" "${list[@]}" \
        --processes "$cores" --threads 1 >"$out/judged.log" 2>&1
    cp "$work"/table.md "$work"/*.jpg "$out"/
    xz -c "$work/results.json" >"$out/results.json.xz"
fi
