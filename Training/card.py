"""Writes MODEL_CARD.md with sizes and hashes: python card.py --models Models/miniature --facts facts.json"""
import argparse
import hashlib
import json
from pathlib import Path

TEXT = '''# Dropreel-Mini 0.1

A miniature of the whole chain: umT5 text encoder, Wan-style DiT for text to video, two DiT experts (high and low noise)
for image to video, Wan2.1-style causal video VAE, with the published tensor names and TurboDiffusion's int8 and SLA
layout. It exists so that the service, the engine and their tests run end to end on any machine, with weights that were
really trained. It knows one small drawn world and is no substitute for Wan2.1 or Wan2.2.

* 256 x 144, 16 fps, up to 81 frames; prompts in English and Chinese. Trained at 16:9 only; the other sizes are smaller
  token grids and were not judged.
* DiT: width 256, 2 heads of 128, 5 layers, ffn 512, text width 128; T2V 16 input channels, I2V 36.
* VAE: base 8, 16 latent channels, 4 x 8 x 8. umT5: width 128, 4 heads of 32, 2 layers; SentencePiece, {pieces} pieces.
* Use SLA attention, key share 0.25 (`sla_topk`): self attention was trained with it; `proj_l` is trained.

## Data

Drawn by `Training/world.py`, nothing else: six places (sea, meadow, desert, snow, night city, sunset beach), five things
(ball, balloon, boat, car, kite), eight colours, four directions, pans, falling snow, fading light; stills of overlapping
textured shapes with pans, push in, pull out, snow, fade. 420 scene clips and 200 stills as latents, captions drawn anew
at every step (60 % English, 40 % Chinese). Licence of weights and data: Apache-2.0.

## Training

On two shared CPU cores, about 1.8 hours of wall clock in all and, other work running beside it, roughly 1.7 core hours.

| part | minutes (wall) | steps | what |
| --- | --- | --- | --- |
| VAE, frames | 7 | 820 | PCA starting point, then L1, gradient, coarse and small KL loss; encoder frozen afterwards |
| VAE, clips | 0 | 0 | the two temporal up-samplers fade from one latent frame to the next; not trained further in this version |
| text encoder | 4 | 650 | attributes from every token |
| text to video | 20 | 600 | flow matching at the four rCM levels, 4 of 21 latent frames |
| both tasks, one net | {joint} | {steps} | two processes with averaged weights; the last part with SLA, from the net's own first estimate |

`t2v` is that net without its conditioning channels (mathematically the same for text to video); the two I2V experts are
{experts}. There is no separate distillation: the net is trained at the sampler's four levels only, the later ones on
its own first estimates.

## Measured

{measured}

## Limits, honestly

{limits}

## Files

| file | bytes | sha256 | made by |
| --- | --- | --- | --- |
{files}
'''

MADE = {'t2v.safetensors': 'train_dit.py, export.py (int8 in blocks)', 'i2v_high.safetensors': 'train_dit.py, export.py (int8 in blocks)',
        'i2v_low.safetensors': 'train_dit.py, export.py (int8 in blocks)', 'vae.safetensors': 'train_vae.py, export.py (bf16)',
        'text_encoder.safetensors': 'train_text.py, export.py (bf16)', 'tokenizer/spiece.model': 'train_text.py',
        'model.json': 'export.py'}

if __name__ == '__main__':
    p = argparse.ArgumentParser()
    p.add_argument('--models', type=Path, required=True)
    p.add_argument('--facts', type=Path, required=True, help='JSON: pieces, joint, steps, experts, measured, limits')
    args = p.parse_args()
    rows = []
    for name, made in MADE.items():
        data = (args.models / name).read_bytes()
        rows.append(f'| `{name}` | {len(data)} | `{hashlib.sha256(data).hexdigest()}` | {made} |')
    text = TEXT.format(**json.loads(args.facts.read_text()), files='\n'.join(rows))
    (args.models / 'MODEL_CARD.md').write_text(text)
