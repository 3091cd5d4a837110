"""The attribute classifier: what a film shows, told from some of its frames. Trained on rendered clips only."""
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.torch import save_file
import torch
from torch import nn
import torch.nn.functional as F

import world

#: Frames of a film that are looked at, evenly spaced, and the area they are scaled to.
FRAMES, AREA = 13, 128 * 72
SCENE = {'place': world.PLACES, 'thing': world.THINGS, 'colour': world.COLOURS, 'action': world.ACTIONS,
         'camera': world.CAMERAS, 'weather': world.WEATHERS, 'light': world.LIGHTS}
STILL = {'still camera': world.STILL_CAMERAS, 'effect': world.EFFECTS}
HEADS = SCENE | STILL


def indices(total):
    """The frame numbers that are looked at."""
    return np.linspace(0, total - 1, FRAMES).round().astype(int)


def shrink(film):
    """[B,T,3,H,W] in 0..1 -> the same at AREA pixels."""
    b, t, c, h, w = film.shape
    k = (AREA / (h * w)) ** .5
    size = (max(8, round(h * k / 8) * 8), max(8, round(w * k / 8) * 8))
    return F.interpolate(film.flatten(0, 1), size, mode='area' if k < 1 else 'bilinear').reshape(b, t, c, *size)


class Judge(nn.Module):
    """Per-frame convolutions, then convolutions in space and time; every head reads means and maxima."""

    def __init__(self, widths=(24, 40, 64, 88), inner=88):
        super().__init__()
        layers, last = [], 3 + 3 + 2
        for n, width in enumerate(widths):
            layers += [nn.Conv2d(last, width, 5 if n == 0 else 3, 2, 2 if n == 0 else 1), nn.GroupNorm(8, width), nn.SiLU()]
            if n:
                layers += [nn.Conv2d(width, width, 3, 1, 1, groups=8), nn.GroupNorm(8, width), nn.SiLU()]
            last = width
        self.frames = nn.Sequential(*layers)
        self.mix = nn.ModuleList([nn.Conv3d(last + 3, inner, (3, 3, 3), padding=(1, 1, 1)),
                                  nn.Conv3d(inner, inner, (3, 1, 1), padding=(1, 0, 0)),
                                  nn.Conv3d(inner, inner, (1, 3, 3), padding=(0, 1, 1), groups=4),
                                  nn.Conv3d(inner, inner, (3, 1, 1), padding=(2, 0, 0), dilation=(2, 1, 1))])
        self.norms = nn.ModuleList([nn.GroupNorm(8, inner) for _ in self.mix])
        self.heads = nn.ModuleDict({n.replace(' ', '_'): nn.Linear(6 * inner, len(v)) for n, v in HEADS.items()})

    def forward(self, film):
        """[B,FRAMES,3,h,w] in 0..1 -> {head: logits}."""
        b, t, _, h, w = film.shape
        change = torch.cat((film[:, 1:] - film[:, :-1], film[:, -1:] - film[:, :1]), 1)
        y = torch.linspace(-1, 1, h, device=film.device, dtype=film.dtype)[:, None].expand(h, w)
        x = torch.linspace(-1, 1, w, device=film.device, dtype=film.dtype)[None].expand(h, w)
        where = torch.stack((x, y)).expand(b, t, 2, h, w)
        z = self.frames(torch.cat((film * 2 - 1, change * 3, where), 2).flatten(0, 1))
        z = z.reshape(b, t, *z.shape[1:]).transpose(1, 2)
        place = [torch.linspace(-1, 1, n, device=film.device, dtype=z.dtype) for n in z.shape[2:]]
        grid = torch.stack(torch.meshgrid(*place, indexing='ij')).expand(b, 3, *z.shape[2:])
        z = torch.cat((z, grid), 1)
        for n, (conv, norm) in enumerate(zip(self.mix, self.norms)):
            out = F.silu(norm(conv(z)))
            z = out if n == 0 else z + out
        thirds = [part.mean((2, 3, 4)) for part in z.tensor_split(3, 2)]
        pooled = torch.cat(thirds + [z.mean((2, 3, 4)), z.amax((2, 3, 4)), z.mean(2).amax((2, 3))], 1)
        return {n: self.heads[n.replace(' ', '_')](pooled) for n in HEADS}


def save(model, path, notes):
    tensors = {k: v.detach().cpu().to(torch.float16).contiguous() for k, v in model.state_dict().items()}
    save_file(tensors, str(path), {k: str(v) for k, v in notes.items()})


def load(path, device='cpu'):
    model = Judge()
    with safe_open(str(path), 'pt') as f:
        model.load_state_dict({k: f.get_tensor(k).float() for k in f.keys()})
        model.notes = f.metadata()
    return model.to(device).eval()


@torch.no_grad()
def tell(model, films):
    """Names that the classifier gives films [B,FRAMES,3,H,W] in 0..1: a list of {head: (name, probability)}."""
    device = next(model.parameters()).device
    logits = model(shrink(films.to(device)))
    out = [{} for _ in films]
    for head, values in logits.items():
        shares = values.float().softmax(-1)
        for i, row in enumerate(shares):
            k = int(row.argmax())
            out[i][head] = (HEADS[head][k], float(row[k]))
    return out
