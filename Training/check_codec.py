"""What the VAE, as exported, loses: python check_codec.py --vae ../Models/miniature/vae.safetensors --photos W/photos/heldout

PSNR over [0, 255] of pictures never trained on and of rendered clips of held-out combinations, a value per picture or frame,
then means.
"""
import argparse
from pathlib import Path

import numpy as np
import torch

from judge.codec import load_codec
from sample import picture
import world


def psnr(got, want):
    """[N,3,H,W] in -1..1, got as a film shows it (eight bits)."""
    got = ((got.clamp(-1, 1) + 1) * 127.5).round() / 127.5 - 1
    return 10 * torch.log10(4 / (got - want).square().mean((1, 2, 3)))


@torch.no_grad()
def main(args):
    torch.set_num_threads(args.threads)
    vae = load_codec(args.vae)
    if args.photos:
        values = []
        for path in sorted(args.photos.glob('*.jpg')):
            x = (picture(path)[None] * 255).round() / 127.5 - 1
            values.append(psnr(vae.decode(vae.encode(x[:, :, None]))[:, :, 0], x).item())
        print(f'{len(values)} photographs: mean {np.mean(values):.2f} dB, median {np.median(values):.2f}, lowest {min(values):.2f}, {100 * np.mean(np.array(values) >= 31):.0f} % reach 31 dB')
    rng, rows = np.random.default_rng(5), []
    for scene in world.sample_scenes(rng, args.clips, 'held'):
        x = (world.render([scene], range(args.frames), args.total, 144, 256) * 255).round().transpose(1, 2) / 127.5 - 1
        got = psnr(vae.decode(vae.encode(x))[0].transpose(0, 1), x[0].transpose(0, 1)).numpy()
        rows.append((got[0], got[4::4].mean(), np.delete(got, np.s_[::4]).mean(), scene.weather in ('clear', 'fog', 'clouds')))
    for name, own in (('all weathers', rows), ('without falling weather', [r for r in rows if r[3]])):
        first, grid, between = np.mean([r[:3] for r in own], 0)
        print(f'{len(own)} rendered clips, {name}: first frame {first:.2f} dB, every fourth {grid:.2f}, between {between:.2f}')


if __name__ == '__main__':
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--vae', type=Path, required=True)
    p.add_argument('--photos', type=Path)
    p.add_argument('--clips', type=int, default=24)
    p.add_argument('--frames', type=int, default=33)
    p.add_argument('--total', type=int, default=81)
    p.add_argument('--threads', type=int, default=1)
    main(p.parse_args())
