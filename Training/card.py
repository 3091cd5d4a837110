"""Writes MODEL_CARD.md with sizes and hashes: python card.py --models Models/miniature --facts facts.json"""
import argparse
import hashlib
import json
from pathlib import Path

TEXT = '''# {title}

A miniature of the whole chain: umT5 text encoder, Wan-style transformers for text to video and image to video (two
experts), Wan2.1-style causal video VAE, with the published tensor names and TurboDiffusion's int8 and SLA layout. It knows
one drawn world and how to move photographs, and is no substitute for Wan2.1 or Wan2.2. `Training/README.md` tells how it
was made and how to make it again.

* 256 x 144 or the same area in other shapes, 33 to 161 frames at 16 fps; prompts in English and Chinese.
* Transformers: width 256, 2 heads of 128, {layers}, ffn 512, text width 128; {parameters}. Text to video has 16 input
  channels, image to video 36. Linear layers of the blocks are int8 with a scale for every 128 x 128 block, the rest bf16,
  norms float32.
* VAE: {widths}, 16 latent channels, 4 x 8 x 8. The encoder has no temporal taps: latent frame i is the code of frame 4i.
  umT5: width 128, 4 heads of 32, 3 layers; SentencePiece, {pieces} pieces, Chinese by single characters.
* 1 to 4 steps (rCM levels), sampler `sde`. {attention}
* Licence of the weights and of the drawn data: Apache-2.0. Photographs: see below.

## Data

Drawn by `Training/world`: eight places, ten things, ten colours, nine actions, seven camera moves, six kinds of weather and
five of light, with captions from a grammar (60 % English, 40 % Chinese). A tenth of the combinations of place, thing,
colour, action and camera was never drawn in training. Image to video saw such scenes (35 %), and pictures with a camera
move or an effect: photographs (crops, recoloured and mirrored at random), drawn textures, still scenes. {photographs} They and
fifty held-out ones are listed with author and licence in `Training/world/PHOTOGRAPHS.md`; none is part of this repository.

## Training

{hardware}

| stage | steps | seconds x GPUs | what |
| --- | --- | --- | --- |
{stages}

{history}

## Measured

{measured}

## Limits, honestly

{limits}

## Files

| file | bytes | sha256 | made by |
| --- | --- | --- | --- |
{files}
'''

MADE = {'t2v.safetensors': 'match.py', 'i2v_high.safetensors': 'distil.py --expert high',
        'i2v_low.safetensors': 'distil.py --expert low', 'vae.safetensors': 'train_vae.py',
        'text_encoder.safetensors': 'train_text.py, train_teacher.py', 'tokenizer/spiece.model': 'text.py',
        'model.json': 'export.py'}

if __name__ == '__main__':
    p = argparse.ArgumentParser()
    p.add_argument('--models', type=Path, required=True)
    p.add_argument('--facts', type=Path, required=True, help='JSON with the texts named in TEXT; lists become lines')
    args = p.parse_args()
    facts = {k: v if isinstance(v, str) else '\n'.join(v) for k, v in json.loads(args.facts.read_text()).items()}
    manifest = json.loads((args.models / 'model.json').read_text())
    facts['title'] = f"{manifest['name']} {manifest['version']}"
    rows = []
    for name, made in MADE.items():
        data = (args.models / name).read_bytes()
        rows.append(f'| `{name}` | {len(data)} | `{hashlib.sha256(data).hexdigest()}` | {made} |')
    (args.models / 'MODEL_CARD.md').write_text(TEXT.format(**facts, files='\n'.join(rows)))
