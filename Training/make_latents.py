"""Latents of rendered clips: python make_latents.py --work W --kind scene|still --count 400 [--part 0 --parts 2]

Only every fourth frame is drawn (see train_vae.py). Photographs in W/photos/train are used for stills. Resumable; `<kind>.done` marks finished clips.
"""
import argparse
import time
from pathlib import Path

import numpy as np
import torch

from train_vae import build
import world

SHAPE = (16, 21, 18, 32)
SEED = {'scene': 10, 'still': 12}


def item(kind, index, photos=()):
    rng = np.random.default_rng([SEED[kind], index])
    a = world.sample_attributes(rng, kind == 'still')
    return world.Still(a, rng, photos) if kind == 'still' else world.Scene(a, rng)


def attributes(kind, index):
    return world.sample_attributes(np.random.default_rng([SEED[kind], index]), kind == 'still')


def open_maps(work, kind, count):
    files = []
    for suffix, shape, dtype in (('latents', (count, *SHAPE), np.float16), ('done', (count,), np.uint8)):
        path = work / f'data/{kind}.{suffix}'
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            with open(path, 'wb') as f:
                f.truncate(int(np.prod(shape)) * np.dtype(dtype).itemsize)
        files.append(np.memmap(path, dtype, 'r+', shape=shape))
    return files


def main(args):
    vae = build().eval()
    vae.load_state_dict(torch.load(args.work / 'ckpt/vae_image.pt')['net'])
    latents, done = open_maps(args.work, args.kind, args.capacity)
    photos = world.load_photos(args.work / 'photos/train')
    start, made = time.time(), 0
    for i in range(args.part, args.count, args.parts):
        if done[i]:
            continue
        clip = item(args.kind, i, photos)
        frames = np.stack([world.to_model(clip.frame(4 * k)) for k in range(SHAPE[1])])
        with torch.no_grad():  # frame by frame: the encoder has no temporal taps
            z = vae.encode(torch.from_numpy(frames)[:, :, None])[:, :, 0]
        latents[i] = z.transpose(0, 1).numpy()
        done[i] = 1
        made += 1
        if made % 20 == 0:
            print(args.kind, i, f'{(time.time() - start) / made:.2f} s a clip', flush=True)


if __name__ == '__main__':
    p = argparse.ArgumentParser()
    p.add_argument('--work', type=Path, required=True)
    p.add_argument('--kind', choices=['scene', 'still'], required=True)
    p.add_argument('--count', type=int, required=True)
    p.add_argument('--capacity', type=int, default=4000)
    p.add_argument('--part', type=int, default=0)
    p.add_argument('--parts', type=int, default=1)
    args = p.parse_args()
    torch.set_num_threads(1)
    main(args)
