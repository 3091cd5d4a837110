"""PSNR of the shipped VAE: python judge_vae.py --work W   (held-out photographs; frames of new rendered clips)"""
import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from train_vae import build, psnr
import world


def picture(path, size=(256, 144)):
    """The middle of a photograph in the film's shape, in -1..1."""
    image = Image.open(path).convert('RGB')
    w, h = image.size
    cw, ch = (w, w * size[1] / size[0]) if w * size[1] <= h * size[0] else (h * size[0] / size[1], h)
    image = image.resize(size, Image.LANCZOS, ((w - cw) / 2, (h - ch) / 2, (w + cw) / 2, (h + ch) / 2))
    return torch.from_numpy(np.asarray(image, np.float32)).permute(2, 0, 1) / 127.5 - 1


if __name__ == '__main__':
    p = argparse.ArgumentParser()
    p.add_argument('--work', type=Path, required=True)
    args = p.parse_args()
    torch.set_num_threads(1)
    vae = build().eval()
    vae.load_state_dict({k: v.bfloat16().float() for k, v in torch.load(args.work / 'ckpt/vae.pt')['net'].items()})
    with torch.no_grad():
        for path in sorted((args.work / 'photos/heldout').glob('*')):
            x = picture(path)[None, :, None]
            print(f'{path.name} {psnr(vae.decode(vae.encode(x))[:, :, 0], x[:, :, 0]):.2f} dB')
        rng, results = np.random.default_rng(99), []
        for _ in range(3):
            scene = world.Scene(world.sample_attributes(rng), rng)
            x = torch.from_numpy(np.stack([world.to_model(scene.frame(f)) for f in range(41)], 1))[None]
            y = vae.decode(vae.encode(x))
            results.append([psnr(y[:, :, f], x[:, :, f]) for f in range(41)])
        r = np.array(results).mean(0)
        print(f'rendered clips: keyframes {r[::4].mean():.2f} dB, between {np.delete(r, np.s_[::4]).mean():.2f} dB')
