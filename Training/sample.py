"""Films of a trained net as a contact sheet, drawn as the engine draws them.

  python sample.py --work W --mode t2v --names t2v --dense --steps 0 --out sheet.png "a red boat moves left at sea" ...
  python sample.py --work W --mode i2v --names i2v_high_few i2v_low_few --image photo.jpg --out sheet.png "push in"

Steps 0: the teacher's flow in many steps (--fine), with guidance. Without prompts: held-out scenes, each beside what the
renderer draws for it; pictures to animate come from --photos.
"""
import argparse
from pathlib import Path

import numpy as np
from PIL import Image
import torch

from common import Group
from data import Pictures, conditioning, draw_clips, encode_frames, photographs
import flow
import nets
import text
import train_vae
import world


def picture(path, size=(256, 144)):
    """The middle of a photograph in the film's shape, [3,h,w] in 0..1."""
    image = Image.open(path).convert('RGB')
    w, h = image.size
    cw, ch = (w, w * size[1] / size[0]) if w * size[1] <= h * size[0] else (h * size[0] / size[1], h)
    image = image.resize(size, Image.LANCZOS, ((w - cw) / 2, (h - ch) / 2, (w + cw) / 2, (h + ch) / 2))
    return torch.from_numpy(np.asarray(image, np.float32)).permute(2, 0, 1) / 255


class Studio:
    """A VAE, a text encoder and one net, or the two experts of image to video."""

    def __init__(self, work, mode, names, group=None, topk=None, guidance=1.):
        self.group, self.mode, self.topk, self.guidance = group or Group(), mode, topk, guidance
        device = self.device = self.group.device
        self.vae, self.tokenizer = train_vae.load(work, device), text.Tokenizer(work / 'tokenizer')
        self.reader = nets.load_text(work, device).eval()
        self.nets = [nets.load(work / f'ckpt/{n}.pt', mode, device).eval() for n in names]
        self.grey = {}

    @torch.no_grad()
    def films(self, prompts, frames=81, size=(144, 256), steps=4, seed=0, images=None, ode=False, fine=(12, 10, 8, 20)):
        """[B,T,3,H,W] in 0..1. images [B,3,H,W] in 0..1 for image to video."""
        ids, length = self.tokenizer(prompts, self.device)
        rows = text.encode(self.reader, ids, length)
        latents = (frames + 3) // 4
        shape = (len(prompts), 16, latents, size[0] // 8, size[1] // 8)
        y = None
        if images is not None:
            first = self.vae.encode(images.to(self.device)[:, :, None] * 2 - 1)[:, :, 0]
            y = conditioning(self.vae, first, range(latents), self.grey)
        empty = (torch.zeros(1, 7, rows.shape[-1], device=self.device), torch.zeros(1, dtype=torch.long, device=self.device))
        say = [nets.Velocity(self.group, n, rows, length, y, self.topk, self.guidance, bool(steps), empty=empty) for n in self.nets]
        velocity = lambda x, t: say[0 if t >= flow.BOUNDARY or len(say) == 1 else 1](x, t)
        generator = torch.Generator(self.device).manual_seed(seed)
        sigma = flow.SIGMA[self.mode]
        if steps:
            z = flow.few_steps(velocity, shape, steps, sigma, generator, self.device, ode)
        else:
            levels = flow.levels_through(sigma, fine)[0]
            z = flow.integrate(velocity, torch.randn(shape, generator=generator, device=self.device) * levels[0], levels)[-1]
        return self.decode(z)

    @torch.no_grad()
    def decode(self, z):
        out = [self.vae.decode(part)[0].transpose(0, 1).clamp(-1, 1) for part in z.split(1)]
        return torch.stack(out) / 2 + .5


def sheet(films, path, columns=6):
    """films: [T,3,H,W] in 0..1 each; one row of frames for each."""
    rows = []
    for film in films:
        index = np.linspace(0, len(film) - 1, columns).round().astype(int)
        rows.append(np.concatenate([(film[i].permute(1, 2, 0) * 255 + .5).byte().cpu().numpy() for i in index], 1))
    width = max(r.shape[1] for r in rows)
    rows = [np.pad(r, ((0, 0), (0, width - r.shape[1]), (0, 0))) for r in rows]
    Image.fromarray(np.concatenate(rows)).save(path, **({'quality': 88} if path.suffix == '.jpg' else {}))


def show_vae(args):
    """Frames of held-out clips and stills, and what the VAE makes of them; prints its PSNR."""
    group, rng = Group(), np.random.default_rng(args.seed)
    vae, size, rows = train_vae.load(args.work, group.device), tuple(args.size), []
    pictures = Pictures(photographs(args.photos), group.device, args.seed)
    for kind in ('scene', 'still'):
        items = world.sample_stills(rng, args.count) if kind == 'still' else world.sample_scenes(rng, args.count, 'held')
        total, values = args.frames, []
        for item in items:
            clip = draw_clips([item], kind, range(total), total, *size, group.device, pictures).transpose(1, 2) * 2 - 1
            with torch.no_grad():
                made = vae.decode(vae.encode(clip)).clamp(-1, 1)
            values.append(10 * torch.log10(4 / (made - clip).square().mean((0, 1, 3, 4))))
            rows += [v[0].transpose(0, 1).cpu() / 2 + .5 for v in (clip, made)]
        values = torch.stack(values).mean(0)
        print(f'{kind}: first frame {values[0]:.2f} dB, every fourth {values[4::4].mean():.2f}, between {values[2::4].mean():.2f}')
    sheet(rows, args.out)


def main(args):
    if args.mode == 'vae':
        return show_vae(args)
    studio = Studio(args.work, args.mode, args.names, topk=None if args.dense else args.topk, guidance=args.guidance)
    rng, films, images, drawn = np.random.default_rng(args.seed), [], None, None
    size, shown = tuple(args.size), range(0, args.frames, max(1, args.frames // 5 // 4 * 4))
    if args.prompts:
        prompts = args.prompts
        if args.image:
            images = picture(args.image, size[::-1])[None].expand(len(prompts), -1, -1, -1)
    elif args.mode == 't2v':
        items = world.sample_scenes(rng, args.count, 'held')
        prompts = [world.caption(s, rng) for s in items]
        drawn = draw_clips(items, 'scene', shown, args.frames, *size, studio.device, None)
    else:
        items = world.sample_stills(rng, args.count)
        prompts = [world.caption(s, rng) for s in items]
        pictures = Pictures(photographs(args.photos), studio.device, args.seed)
        drawn = draw_clips(items, 'still', shown, args.frames, *size, studio.device, pictures)
        images = drawn[:, 0]
    for i, prompt in enumerate(prompts):
        print(i, prompt, flush=True)
    for i in range(0, len(prompts), args.batch):
        part = slice(i, i + args.batch)
        made = studio.films(prompts[part], args.frames, size, args.steps, args.seed + i, None if images is None else images[part], args.ode)
        for j, film in enumerate(made):
            if drawn is not None and args.beside:
                films.append(drawn[i + j].cpu())
            films.append(film.cpu())
    sheet(films, args.out)


if __name__ == '__main__':
    p = argparse.ArgumentParser()
    p.add_argument('--work', type=Path, required=True)
    p.add_argument('--mode', choices=['t2v', 'i2v', 'vae'], default='t2v')
    p.add_argument('--names', nargs='+', default=[], help='in W/ckpt; two: high and low noise')
    p.add_argument('--out', type=Path, required=True)
    p.add_argument('--image', type=Path)
    p.add_argument('--photos', type=Path)
    p.add_argument('--count', type=int, default=12)
    p.add_argument('--batch', type=int, default=8)
    p.add_argument('--beside', type=int, default=1)
    p.add_argument('--dense', action='store_true')
    p.add_argument('--topk', type=float, default=.1)
    p.add_argument('--steps', type=int, default=4)
    p.add_argument('--guidance', type=float, default=1.)
    p.add_argument('--ode', action='store_true')
    p.add_argument('--seed', type=int, default=0)
    p.add_argument('--frames', type=int, default=81)
    p.add_argument('--size', type=int, nargs=2, default=(144, 256), help='height and width')
    p.add_argument('prompts', nargs='*')
    main(p.parse_args())
