"""Measures that need no training: fidelity, flicker, drift, distances, and the camera over a known picture."""
import math

import numpy as np
import torch
import torch.nn.functional as F

import world
from world import stills

#: Parts of the full camera move that are tried.
AMOUNTS = (.35, .6, .8, 1., 1.25)
#: Above these a film counts as panned, tilted or zoomed (units of global_motion); set on rendered clips.
PAN_STEP, TILT_STEP, ZOOM_STEP = 8., 8., 6.


def psnr(a, b):
    """Of two uint8 pictures of one size, in dB."""
    error = np.mean((a.astype(np.float64) - b.astype(np.float64)) ** 2)
    return float(10 * math.log10(255 ** 2 / max(error, 1e-3)))


def flicker(film):
    """Mean change of a frame against the mean of its neighbours, in 8-bit levels."""
    f = film.astype(np.int16)
    return float(np.abs(2 * f[1:-1] - f[:-2] - f[2:]).mean(dtype=np.float64) / 2)


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


def _block_motion(a, b, block=8, reach=6):
    """Motion of blocks between two grey frames [h,w]: x, y [n] of their middles, u, v [n] in pixels, weight [n]."""
    h, w = a.shape[0] // block * block, a.shape[1] // block * block
    a, b = a[:h, :w], b[:h, :w]
    padded = F.pad(b[None, None], (reach,) * 4, mode='replicate')[0, 0]
    span = range(-reach, reach + 1)
    cost = torch.stack([F.avg_pool2d(((padded[reach + dy:reach + dy + h, reach + dx:reach + dx + w] - a) ** 2)[None, None], block)[0, 0]
                        for dy in span for dx in span]).reshape(len(span), len(span), -1)
    flat = cost.reshape(-1, cost.shape[-1])
    best = flat.argmin(0)
    iy, ix, n = best // len(span), best % len(span), torch.arange(cost.shape[-1])
    # Nearest whole pixel, then the vertex of a parabola through its neighbours.
    vertex = lambda lo, mid, hi: ((lo - hi) / (2 * (lo - 2 * mid + hi)).clamp(min=1e-7)).clamp(-.5, .5)
    jy, jx = iy.clamp(1, len(span) - 2), ix.clamp(1, len(span) - 2)
    u = jx + vertex(cost[jy, jx - 1, n], cost[jy, jx, n], cost[jy, jx + 1, n]) - reach
    v = jy + vertex(cost[jy - 1, jx, n], cost[jy, jx, n], cost[jy + 1, jx, n]) - reach
    # A block counts when it has structure in both directions and found itself again.
    good = (flat.mean(0) - flat.amin(0)).sqrt() * (flat.amin(0) < .25 * flat.mean(0))
    ys, xs = torch.meshgrid(torch.arange(h // block), torch.arange(w // block), indexing='ij')
    middle = lambda k, size: (k.flatten() + .5) * block - size / 2
    return middle(xs, w), middle(ys, h), u.float(), v.float(), good


def global_motion(film, count=13):
    """Pan, tilt and zoom of a film by robust registration of its blocks: per mille of the frame's short side (or of size)
    for one step of `count` - 1: (pan right, tilt down, push in)."""
    picked = np.linspace(0, len(film) - 1, count).round().astype(int)
    k = (128 * 72 / (film.shape[1] * film.shape[2])) ** .5
    size = (round(film.shape[1] * k), round(film.shape[2] * k))
    grey = F.interpolate(torch.from_numpy(film[picked].astype(np.float32)).mean(-1)[:, None] / 255, size, mode='area')
    grey = (grey - F.avg_pool2d(grey, 25, 1, 12, count_include_pad=False))[:, 0]
    fits = []
    for a, b in zip(grey[:-1], grey[1:]):
        x, y, u, v, weight = _block_motion(a, b)
        ones, zeros = torch.ones_like(x), torch.zeros_like(x)
        matrix = torch.cat((torch.stack((ones, zeros, x), 1), torch.stack((zeros, ones, y), 1)))
        target, base = torch.cat((u, v)), torch.cat((weight, weight))
        robust = base
        for _ in range(8):
            m = matrix * robust[:, None]
            fit = torch.linalg.solve(m.T @ matrix + 1e-4 * torch.eye(3), m.T @ target)
            error = ((matrix @ fit - target) ** 2).reshape(2, -1).sum(0)
            robust = (base.reshape(2, -1) / (1 + error / .5)).flatten()
        fits.append(fit)
    pan, tilt, zoom = torch.stack(fits).median(0).values.tolist()
    return -pan / min(size) * 1000, -tilt / min(size) * 1000, zoom * 1000


def camera_of(film):
    """The camera of a film whose picture is not known: the strongest of pan, tilt and zoom, or none."""
    pan, tilt, zoom = global_motion(film)
    strength = {'pan right': pan / PAN_STEP, 'pan left': -pan / PAN_STEP, 'tilt down': tilt / TILT_STEP, 'tilt up': -tilt / TILT_STEP,
                'push in': zoom / ZOOM_STEP, 'pull out': -zoom / ZOOM_STEP}
    name = max(strength, key=strength.get)
    return name if strength[name] > 1 else 'static'
