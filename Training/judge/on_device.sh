#!/usr/bin/env bash
# Trains the judge on the GPU while the processor's cores make the films, then judges them.
#   judge/on_device.sh DROPREEL MODELS PHOTOS OUT SECONDS [VAE]
# DROPREEL: the program; MODELS: a folder with the model; PHOTOS: train/ and heldout/; OUT: what is kept; SECONDS: for
# making films (judging takes about a minute more); VAE: the exported codec.
set -uo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
dropreel=$1 models=$2 photos=$3 out=$4 seconds=$5 vae=${6:-}
work=${JUDGED:-/tmp/judged}
mkdir -p "$work" "$out"
weights=$here/judge/weights/judge.safetensors
list=(--out "$work" --models "$models" --photos "$photos/heldout" --count "${COUNT:-300}" --images "${IMAGES:-50}" --variants
    seed=1@16 steps=2@75 steps=1@75 language=zh@75 attention=original@40 aspect_ratio=9:16@24 aspect_ratio=1:1@24
    aspect_ratio=4:3@16 aspect_ratio=3:4@16 frames=33@24 frames=161@16)
if [[ ! -f $weights ]]; then
    python3 "$here/train_judge.py" --out "$work/judge.safetensors" --seconds "${JUDGE_SECONDS:-85}" --photos "$photos" \
        ${vae:+--vae "$vae"} >"$out/judge.log" 2>&1 &
    trained=$! weights=$work/judge.safetensors
fi
cores=$(nproc)
python3 "$here/evaluate.py" --make --dropreel "$dropreel" "${list[@]}" --processes $((cores / 2)) --threads 2 --limit "$seconds"
[[ -n ${trained:-} ]] && wait "$trained"
python3 "$here/evaluate.py" --films "$work/films" --weights "$weights" "${list[@]}" --processes "$cores" --threads 1 >"$out/judged.log" 2>&1
cp "$work"/table.md "$work"/*.jpg "$out"/
cp "$weights" "$out"/judge.safetensors
xz -c "$work/results.json" >"$out/results.json.xz"
(cd "$work/films" && tar cf "$out/films.tar" $(ls i2v-00[0-2]*.mp4 t2v-00[0-4]*.mp4 | head -140))
