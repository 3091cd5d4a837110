"""Measures that need no training: fidelity, flicker, drift, distances, and the camera over a known picture."""
import math

import numpy as np
import torch
import torch.nn.functional as F

import world
from world import stills

#: Parts of the full camera move that are tried.
AMOUNTS = (.35, .6, .8, 1., 1.25)


def psnr(a, b):
    """Of two uint8 pictures of one size, in dB."""
    error = np.mean((a.astype(np.float64) - b.astype(np.float64)) ** 2)
    return float(10 * math.log10(255 ** 2 / max(error, 1e-3)))


def flicker(film):
    """Mean change of a frame against the mean of its neighbours, in 8-bit levels."""
    f = film.astype(np.float32)
    return float(np.abs(f[1:-1] - (f[:-2] + f[2:]) / 2).mean())


def sharpness(frames):
    f = frames.astype(np.float32)
    return float(np.abs(np.diff(f, axis=1)).mean() + np.abs(np.diff(f, axis=2)).mean())


def drift(film):
    """Sharpness and brightness of the last eighth of a film against its first: (ratio, levels)."""
    n = max(1, len(film) // 8)
    return sharpness(film[-n:]) / max(1e-3, sharpness(film[:n])), float(film[-n:].mean() - film[:n].mean())


def distance(a, b):
    """How far two films lie apart: mean difference in 8-bit levels, after blurring away noise (4 x 4 means)."""
    n = min(len(a), len(b))
    small = lambda v: F.avg_pool2d(torch.from_numpy(v[:n:4].astype(np.float32)).permute(0, 3, 1, 2), 4)
    return float((small(a) - small(b)).abs().mean())


def _grey(picture):
    """[3,H,W] -> blurred and freed of slow brightness changes, so that light and weather count little."""
    grey = picture.mean(0, keepdim=True)[None]
    soft = F.avg_pool2d(grey, 5, 1, 2, count_include_pad=False)
    return (soft - F.avg_pool2d(soft, 33, 1, 16, count_include_pad=False))[0, 0]


def camera_over(picture, film):
    """The camera move that takes `picture` (uint8 [H,W,3]) to the later frames of `film`: (name, agreement of that move,
    agreement of standing still). Every move is tried with several amounts; agreement is correlation where the picture is
    seen."""
    first = torch.from_numpy(picture.copy()).permute(2, 0, 1).float() / 255
    height, width = picture.shape[:2]
    places = (1., .7, .45)
    wanted = [torch.from_numpy(film[round(p * (len(film) - 1))].copy()).permute(2, 0, 1).float() / 255 for p in places]
    wanted = [_grey(w) for w in wanted]
    moves = [('static', 0.)] + [(c, a) for c in world.STILL_CAMERAS[1:] for a in AMOUNTS]
    best, still = ('static', -1.), 0.
    base = _grey(first)[None, None]
    for name, amount in moves:
        total = 0.
        for place, want in zip(places, wanted):
            x, y = stills.positions_of(name, place * amount, height, width)
            seen = ((x.abs() < .98) & (y.abs() < .98)).float()
            got = F.grid_sample(base, torch.stack((x, y), -1)[None], mode='bilinear', padding_mode='border', align_corners=False)[0, 0]
            n = seen.sum()
            a, b = (got - (got * seen).sum() / n) * seen, (want - (want * seen).sum() / n) * seen
            total += float((a * b).sum() / (a.norm() * b.norm() + 1e-6)) / len(places)
        if name == 'static':
            still = total
        if total > best[1]:
            best = (name, total)
    return best[0], best[1], still
