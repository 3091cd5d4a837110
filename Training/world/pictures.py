"""Pictures to animate: photographs of a folder, drawn textures, and rendered scenes; crops of any shape."""
import math
from pathlib import Path

import numpy as np
from PIL import Image
import torch
import torch.nn.functional as F

from .render import render
from .scene import sample_scenes

#: A picture is so much larger than the frame that a camera can move and pull out within it.
MARGIN = 1.4


def load(folder, longest=640):
    """Photographs of a folder as uint8 tensors [3,h,w]; none without the folder."""
    out = []
    for path in sorted(p for p in Path(folder).glob('*') if p.suffix.lower() in ('.jpg', '.jpeg', '.png', '.webp')):
        image = Image.open(path).convert('RGB')
        scale = min(1, longest / max(image.size))
        if scale < 1:
            image = image.resize([max(1, round(n * scale)) for n in image.size], Image.LANCZOS)
        out.append(torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1))
    return out


def canvas_size(height, width):
    """Size of a picture for a frame: [h, w], MARGIN larger."""
    return round(height * MARGIN), round(width * MARGIN)


def crop(photos, rng, height, width, device='cpu', augment=True):
    """A crop of a random photograph at a random scale for a frame: [3,h,w] in 0..1, MARGIN larger than the frame."""
    h, w = canvas_size(height, width)
    photo = photos[int(rng.integers(len(photos)))]
    least = max(h / photo.shape[1], w / photo.shape[2])
    # The whole picture at most; enlarged by no more than 1.6 unless it is too small.
    scale = math.exp(rng.uniform(math.log(least), math.log(max(least * 1.15, 1.3)))) if augment else least
    ch, cw = min(photo.shape[1], round(h / scale)), min(photo.shape[2], round(w / scale))
    top, left = int(rng.integers(photo.shape[1] - ch + 1)), int(rng.integers(photo.shape[2] - cw + 1))
    if not augment:
        top, left = (photo.shape[1] - ch) // 2, (photo.shape[2] - cw) // 2
    piece = photo[:, top:top + ch, left:left + cw].to(device=device, dtype=torch.float32)[None] / 255
    piece = F.interpolate(piece, (h, w), mode='bicubic', antialias=True, align_corners=False)[0].clamp(0, 1)
    if not augment:
        return piece
    if rng.random() < .5:
        piece = piece.flip(2)
    if rng.random() < .2:
        piece = piece[torch.from_numpy(rng.permutation(3)).to(device)]
    gain = torch.tensor(rng.uniform(.8, 1.2, 3), device=device, dtype=torch.float32)[:, None, None]
    return (piece * gain + rng.uniform(-.06, .06)).clamp(0, 1) ** float(rng.uniform(.8, 1.25))


def texture(rng, height, width, device='cpu'):
    """Overlapping shaded shapes over soft noise ("dead leaves"): [3,h,w] in 0..1."""
    h, w = canvas_size(height, width)
    make = lambda *shape: torch.tensor(rng.normal(size=shape), device=device, dtype=torch.float32)
    palette = torch.tensor(np.clip(rng.uniform(.05, .95, (6, 1)) + rng.normal(0, .16, (6, 3)), 0, 1), device=device, dtype=torch.float32)
    y = torch.arange(h, device=device, dtype=torch.float32)[:, None]
    x = torch.arange(w, device=device, dtype=torch.float32)[None]
    image = palette[0][:, None, None] + (y / h) * (palette[1] - palette[0])[:, None, None] + 0 * x
    for level in (3, 6, 12, 24):
        noise = F.interpolate(make(1, 3 if rng.random() < .4 else 1, level, level * 2), (h, w), mode='bicubic', align_corners=False)[0]
        image = image + noise * float(rng.uniform(0, .10)) * 3 / level ** .7
    for _ in range(int(rng.integers(4, 36))):
        r = float(np.clip(6 * (rng.pareto(1.3) + 1), 5, 90))
        cx, cy, angle, ratio = rng.uniform(0, w), rng.uniform(0, h), rng.uniform(0, math.pi), rng.uniform(.3, 1)
        p = math.cos(angle) * (x - cx) + math.sin(angle) * (y - cy)
        q = (-math.sin(angle) * (x - cx) + math.cos(angle) * (y - cy)) / ratio
        kind = rng.random()
        d = r - (torch.hypot(p, q) if kind < .55 else torch.maximum(p.abs(), q.abs()) if kind < .9 else p.abs() + q.abs())
        mask = (d * ratio / float(rng.uniform(.8, 3)) + .5).clamp(0, 1)
        colour = palette[int(rng.integers(6))][:, None, None] * (1 + float(rng.uniform(-.5, .5)) * p / r)
        image = image + mask * (colour - image)
    if rng.random() < .6:
        image = image * (1 + float(rng.uniform(.01, .06)) * make(1, h, w))
    return image.clamp(0, 1)


def batch(photos, rng, count, height, width, device='cpu', shares=(.6, .2, .2)):
    """`count` pictures [count,3,h,w], MARGIN larger than the frame; shares: photographs, textures, rendered scenes."""
    h, w = canvas_size(height, width)
    out, scenes = [None] * count, []
    for i in range(count):
        u = rng.random() * (sum(shares) if len(photos) else shares[1] + shares[2]) + (0 if len(photos) else shares[0])
        if u < shares[0]:
            out[i] = crop(photos, rng, height, width, device)
        elif u < shares[0] + shares[1]:
            out[i] = texture(rng, height, width, device)
        else:
            scenes.append(i)
    if scenes:
        drawn = render(sample_scenes(rng, len(scenes)), [float(rng.uniform(0, 80))], 81, h, w, device)
        for i, image in zip(scenes, drawn):
            out[i] = image[0]
    return torch.stack(out)
