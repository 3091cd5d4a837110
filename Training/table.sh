#!/usr/bin/env bash
# The table of docs/training/JUDGE.md, from the shipped files by the Swift engine: Training/table.sh [FOLDER]
#   PHOTOS=FOLDER  held-out photographs (Training/world/PHOTOGRAPHS.md lists them); without them there is no image to video
#   VARIANTS_ON=cuda DEVICES="0 1"  makes everything but the first row on GPUs
#   COUNT, IMAGES, PROCESSES, THREADS, PYTHON, DROPREEL, MODELS: prompts, photographs, films at once, threads of each, interpreter, program, models
#   GPU_PROCESSES, JUDGES, JUDGE_ON, LIMIT: films at once on a GPU, judging processes and their device, seconds after which no film begins
#   FEW=1  one film of every variant, to see that all of it works
# Leaves table.md, results.json, t2v.jpg and i2v.jpg in FOLDER. May be stopped at any time and goes on where it was.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=$(realpath -m "${1:-$here/../.build/table}") python=${PYTHON:-python3} dropreel=${DROPREEL:-$here/../.build/release/dropreel}
"$python" -c 'import torch, numpy, PIL, safetensors' 2>/dev/null || {
    echo "$python lacks torch, numpy, pillow or safetensors: install them (pip install torch numpy pillow safetensors) or name another with PYTHON=" >&2
    exit 1
}
[ -x "$dropreel" ] || { echo "$dropreel is missing: make release builds it, DROPREEL= names another" >&2; exit 1; }
[ -z "${PHOTOS:-}" ] || PHOTOS=$(realpath "$PHOTOS")
dropreel=$(realpath "$dropreel")
cd "$here"
variants="language=zh@100 steps=2@100 steps=1@100 attention=original@100 sla_topk=0.5@100 seed=1@24 quant_linear=true@24
    aspect_ratio=9:16@50 aspect_ratio=3:4@50 aspect_ratio=1:1@50 aspect_ratio=4:3@50 frames=33@50 frames=161@30
    i2v:sla_topk=0.1@25 i2v:picture=192x192@12 i2v:picture=144x256@12"
[ "${VARIANTS_ON:-cpu}" = cpu ] || variants="backend=$VARIANTS_ON@100 $variants"
[ -z "${FEW:-}" ] || variants=$(sed -E 's/@[0-9]+/@1/g' <<< "$variants")
exec "$python" evaluate.py --dropreel "$dropreel" --out "$out" --count "${COUNT:-300}" --images "${IMAGES:-50}" ${PHOTOS:+--photos "$PHOTOS"} \
    ${MODELS:+--models "$MODELS"} --processes "${PROCESSES:-1}" --threads "${THREADS:-2}" --variants_on "${VARIANTS_ON:-cpu}" --devices ${DEVICES:-0} \
    --gpu_processes "${GPU_PROCESSES:-4}" --judges "${JUDGES:-2}" ${JUDGE_ON:+--device "$JUDGE_ON"} ${LIMIT:+--limit "$LIMIT"} --variants $variants
