"""Samples as the engine does (rCM schedule, bf16 timesteps) and writes contact sheets.

  python sample.py --work W --out sheet.png --topk 0.15 "A red ball moves to the right over the sea" ...
  python sample.py --work W --out sheet.png --image photo.png "the camera pans left"
"""
import argparse
import math
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from export import dequantised
from models import DiT
from train_dit import SIZE, Texts, conditioning, grey_latent, timestep
from judge_vae import picture
from train_vae import build as build_vae


def schedule(steps, sigma):
    trig = [math.atan(sigma), 1.5, 1.4, 1.0][:steps] + [0.]
    return [math.sin(a) / (math.sin(a) + math.cos(a)) for a in trig]


class Pipeline:
    def __init__(self, work, t2v='t2v', high='i2v', low='i2v', int8=False, vae='vae'):
        self.work, self.int8 = Path(work), int8
        self.names = {'t2v': t2v, 'high': high, 'low': low}
        self.nets, self.texts = {}, Texts(self.work)
        self.vae = build_vae().eval()
        path = self.work / f'ckpt/{vae}.pt'
        self.vae.load_state_dict(torch.load(path if path.exists() else self.work / 'ckpt/vae_image.pt')['net'])

    def net(self, kind):
        if kind not in self.nets:
            net = DiT(in_dim=16 if kind == 't2v' else 36, **SIZE).eval()
            net.load_state_dict(torch.load(self.work / f'ckpt/{self.names[kind]}.pt')['net'])
            self.nets[kind] = dequantised(net) if self.int8 else net
        return self.nets[kind]

    @torch.no_grad()
    def latents(self, prompt, seed=0, frames=21, steps=4, topk=None, image=None, ode=False, size=(144, 256), sigma=None):
        """image: [3,H,W] in -1..1 for image to video."""
        text, length = self.texts([prompt])
        generator = torch.Generator().manual_seed(seed)
        shape = (1, 16, frames, size[0] // 8, size[1] // 8)
        t = schedule(steps, sigma or (80 if image is None else 200))
        y = None
        if image is not None:
            grey = self.vae.encode(torch.zeros(1, 3, 1, *size))[0, :, 0]
            y = conditioning(self.vae.encode(image[None, :, None])[0, :, 0], grey, range(frames))[None]
        x = torch.randn(shape, generator=generator, dtype=torch.float64) * t[0]
        estimates = []
        for now, after in zip(t, t[1:]):
            net = self.net('t2v' if image is None else ('high' if now >= .9 else 'low'))
            xin = x.bfloat16().float()
            v = net(xin if y is None else torch.cat([xin, y], 1), timestep(torch.tensor([now])), text, length, topk=topk).double()
            estimates.append((x - now * v).float())
            if ode:
                x = x - (now - after) * v
            else:
                x = (1 - after) * (x - now * v) + after * torch.randn(shape, generator=generator).double()
        return x.float(), estimates

    @torch.no_grad()
    def frames(self, latents):
        v = self.vae.decode(latents)[0].clamp(-1, 1)
        return ((v + 1) / 2 * 255 + .5).floor().byte().permute(1, 2, 3, 0).numpy()


def sheet(rows, path, columns=6):
    picked = []
    for f in rows:
        index = np.linspace(0, len(f) - 1, columns).round().astype(int)
        picked.append(np.concatenate([f[i] for i in index], 1))
    Image.fromarray(np.concatenate(picked, 0)).save(path)


if __name__ == '__main__':
    p = argparse.ArgumentParser()
    p.add_argument('--work', type=Path, required=True)
    p.add_argument('--out', type=Path, required=True)
    p.add_argument('--image', type=Path)
    p.add_argument('--topk', type=float)
    p.add_argument('--steps', type=int, default=4)
    p.add_argument('--seed', type=int, default=0)
    p.add_argument('--frames', type=int, default=21)
    p.add_argument('--columns', type=int, default=6)
    p.add_argument('--t2v', default='t2v')
    p.add_argument('--high', default='i2v')
    p.add_argument('--low', default='i2v')
    p.add_argument('--ode', action='store_true')
    p.add_argument('--estimates', action='store_true', help='show the estimate of every step (middle frame) instead')
    p.add_argument('--int8', action='store_true')
    p.add_argument('--threads', type=int, default=1)
    p.add_argument('prompts', nargs='+')
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    pipe, rows = Pipeline(args.work, args.t2v, args.high, args.low, args.int8), []
    image = None
    if args.image:
        image = picture(args.image)
    for prompt in args.prompts:
        x, estimates = pipe.latents(prompt, args.seed, args.frames, args.steps, args.topk, image, ode=args.ode)
        if args.estimates:
            rows.append(np.concatenate([pipe.frames(e[:, :, 10:11]) for e in estimates]))
        else:
            rows.append(pipe.frames(x))
    sheet(rows, args.out, args.columns if not args.estimates else args.steps)
