"""Writes MODEL_CARD.md with sizes and hashes: python card.py --models Models/miniature --facts facts.json"""
import argparse
import hashlib
import json
from pathlib import Path

TEXT = '''# Dropreel-Mini 0.2

A miniature of the whole chain: umT5 text encoder, Wan-style DiT for text to video and one for image to video, Wan2.1-style
causal video VAE, with the published tensor names and TurboDiffusion's int8 and SLA layout. It exists so that the service,
the engine and their tests run end to end on any machine, with weights that were really trained. It knows one small drawn
world and a few camera moves, and is no substitute for Wan2.1 or Wan2.2.

* 256 x 144, 16 fps, 81 frames; prompts in English and Chinese. Trained at 16:9 only. Photographs of other shapes work in
  image to video (the engine keeps the area); text to video is meant for 16:9.
* DiT: width 256, 2 heads of 128, 5 layers, ffn 512, text width 128, {parameters}; text to video has 16
  input channels, image to video 36.
* VAE: base 8, 16 latent channels, 4 x 8 x 8. umT5: width 128, 4 heads of 32; SentencePiece, 670 pieces.
* Linear layers of the blocks are int8 with a scale for every 128 x 128 block, the rest bf16, norms float32.
* Image to video has one file for both noise levels (`high_noise` and `low_noise` name the same one; boundary 0.9).
* **Needs SLA attention** (the default of `model.json`; key share 0.5; text to video does not depend on it, below 0.5 parts of a photograph may drop out). The
  linear branch tells the network where a token is; with `attention = original`, which lacks it, a film is a repeated patch.
* Licence of weights and of the drawn data: Apache-2.0.

## Data

Drawn by `Training/world.py`: six places (sea, meadow, desert, snow, night city, sunset beach), five things (ball, balloon,
boat, car, kite), eight colours, four directions, pans, falling snow, fading light; captions drawn anew at every step (60 %
English, 40 % Chinese). 540 scene clips and 276 stills with camera moves as latents. Of the stills 55 % are crops of seven
photographs that come with scikit-image, all CC0 or public domain (`astronaut`, `brick`, `camera`, `chelsea`, `grass`,
`gravel`, `hubble_deep_field`), recoloured and mirrored at random; the others are drawn. `coffee` and `rocket` from the same
package were held out: they are in no training set.

## Training

On two CPU cores shared with other work. CPU time counts; wall time was about twice as long.

| part | steps | CPU minutes | what |
| --- | --- | --- | --- |
{stages}

Both transformers start from `Training/initialise.py`: positions, the copying of the first frame and the head are given,
what to draw and how to move is learned. They are trained on parts of clips at the sampler's four noise levels (there is no
separate distillation). {history}

## Measured

{measured}

## Limits, honestly

{limits}

## Files

| file | bytes | sha256 | made by |
| --- | --- | --- | --- |
{files}
'''

MADE = {'t2v.safetensors': 'train_dit.py, export.py', 'i2v.safetensors': 'train_dit.py --image, export.py',
        'vae.safetensors': 'train_vae.py, export.py', 'text_encoder.safetensors': 'train_text.py, export.py',
        'tokenizer/spiece.model': 'train_text.py', 'model.json': 'export.py'}

if __name__ == '__main__':
    p = argparse.ArgumentParser()
    p.add_argument('--models', type=Path, required=True)
    p.add_argument('--facts', type=Path, required=True, help='JSON: parameters, stages, history, measured, limits')
    args = p.parse_args()
    rows = []
    for name, made in MADE.items():
        data = (args.models / name).read_bytes()
        rows.append(f'| `{name}` | {len(data)} | `{hashlib.sha256(data).hexdigest()}` | {made} |')
    (args.models / 'MODEL_CARD.md').write_text(TEXT.format(**json.loads(args.facts.read_text()), files='\n'.join(rows)))
