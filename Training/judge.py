"""Simple measures of a sampled set: python judge.py --work W --topk 0.15 --out judge.json [--pairs 24] [--int8]

Text to video, per prompt: is the rendered scene of the same attributes the nearest of six places (mean colours on an
8 x 5 grid, thing masked out); is the coloured thing's hue the asked one; does it move the asked way; sharpness and
flicker beside the rendered clip. Image to video: PSNR of the first frame with the image, and for pans, zooms and fades
whether the frames agree better with the asked motion than with a still picture and with the opposite motion.
"""
import argparse
import json
from pathlib import Path

import numpy as np
import torch

from sample import Pipeline, sheet
import world


def grid(frame):
    """Mean colours on a 5 x 8 grid."""
    h, w = frame.shape[:2]
    return frame[:h // 5 * 5, :w // 8 * 8].reshape(5, h // 5, 8, w // 8, 3).mean((1, 3)) / 255.


def reference(a, f):
    scene = world.Scene(a, np.random.default_rng(0))
    scene.j[:] = 0
    return scene, np.clip(scene.frame(f), 0, 1).transpose(1, 2, 0) * 255


def nearest(frame, options):
    errors = [np.abs(grid(frame) - grid(o)).mean() for o in options]
    return int(np.argmin(errors))


def thing_track(frames, a):
    """Centre of what differs from the place without a thing and is close to the asked colour."""
    scene = world.Scene(a, np.random.default_rng(0))
    scene.j[:] = 0
    colour = np.array(world.COLOURS[a['colour']])
    out = []
    for f in (0, 20, 40, 60, 80):
        empty = np.clip(world.overlay(scene.background(f), a, f), 0, 1).transpose(1, 2, 0)
        image = frames[f] / 255.
        tint = colour * ((1 - (f / 80)) + (f / 80) * np.array((.2, .24, .36))) if a['fade'] else colour
        score = np.clip(np.abs(image - empty).sum(-1) - .35, 0, None) * np.exp(-4 * np.abs(image - tint).sum(-1))
        ys, xs = np.mgrid[:image.shape[0], :image.shape[1]]
        total = score.sum()
        out.append((float(total), float((score * xs).sum() / (total + 1e-6)), float((score * ys).sum() / (total + 1e-6))))
    return out


def psnr(a, b):
    return float(10 * np.log10(255 ** 2 / max(1e-6, np.mean((a.astype(float) - b.astype(float)) ** 2))))


def judge_t2v(pipe, count, topk, steps, seed=0):
    rng = np.random.default_rng(5)
    hits = {'place': [], 'colour': [], 'motion': [], 'psnr': [], 'flicker': [], 'sharpness': []}
    rows = []
    for i in range(count):
        a = world.sample_attributes(rng)
        a.update(place=world.PLACES[i % 6], thing=world.THINGS[i % 5], motion=world.MOTIONS[i % 4])
        frames = pipe.frames(pipe.latents(world.caption(a, rng, i % 3 == 2), seed + i, topk=topk, steps=steps)[0])
        rows.append(frames)
        want = [reference(a, f)[1] for f in (0, 40, 80)]
        hits['psnr'].append(np.mean([psnr(frames[f], w) for f, w in zip((0, 40, 80), want)]))
        hits['place'].append(nearest(frames[0], [reference(a | {'place': p}, 0)[1] for p in world.PLACES]) == i % 6)
        colours = list(world.COLOURS)
        strength = [sum(t[0] for t in thing_track(frames, a | {'colour': c})) for c in colours]
        hits['colour'].append(colours[int(np.argmax(strength))] == a['colour'])
        track = thing_track(frames, a)
        dx, dy = track[-1][1] - track[0][1], track[-1][2] - track[0][2]
        found = ('right' if dx > 0 else 'left') if abs(dx) > abs(dy) else ('down' if dy > 0 else 'up')
        hits['motion'].append(found == a['motion'])
        scene = world.Scene(a, np.random.default_rng(0))
        true = np.stack([np.clip(scene.frame(f), 0, 1).transpose(1, 2, 0) * 255 for f in range(36, 46)])
        made = frames[36:46].astype(float)
        hits['flicker'].append(np.abs(np.diff(made, axis=0)).mean() / np.abs(np.diff(true, axis=0)).mean())
        hits['sharpness'].append(np.abs(np.diff(made, axis=2)).mean() / np.abs(np.diff(true, axis=2)).mean())
    return {k: float(np.mean(v)) for k, v in hits.items()}, rows


def judge_i2v(pipe, count, topk, steps, ode=False):
    rng = np.random.default_rng(6)
    result, rows = {'first_frame_psnr': [], 'asked': [], 'asked_beats_still': [], 'asked_beats_opposite': []}, []
    kinds = ['left', 'right', 'in', 'out', 'fade', 'snowfall']
    opposite = {'left': 'right', 'right': 'left', 'in': 'out', 'out': 'in'}
    for i in range(count):
        kind = kinds[i % 6]
        a = {'place': None, 'thing': None, 'colour': None, 'motion': None, 'camera': 'still', 'snowfall': False, 'fade': False}
        a.update({'camera': kind} if kind in world.CAMERAS else {kind: True})
        still = world.Still(a, rng)
        if kind == 'snowfall':
            first = still.image
        else:
            first = still.frame(0)
        image = torch.from_numpy(world.to_model(first))
        frames = pipe.frames(pipe.latents(world.caption(a, rng, i % 3 == 2), i, topk=topk, steps=steps, image=image, ode=ode)[0])
        rows.append(frames)
        result['first_frame_psnr'].append(psnr(frames[0], np.clip(first, 0, 1).transpose(1, 2, 0) * 255))

        def agreement(b):
            return np.mean([psnr(frames[f], np.clip(world.overlay(world.camera_view(still.image, b, f), b, f), 0, 1).transpose(1, 2, 0) * 255)
                            for f in (40, 60, 80)])
        asked = agreement(a)
        result['asked'].append(asked)
        result['asked_beats_still'].append(asked > agreement(a | {'camera': 'still', 'fade': False, 'snowfall': False}))
        if kind in opposite:
            result['asked_beats_opposite'].append(asked > agreement(a | {'camera': opposite[kind]}))
    return {k: float(np.mean(v)) for k, v in result.items()}, rows


if __name__ == '__main__':
    p = argparse.ArgumentParser()
    p.add_argument('--work', type=Path, required=True)
    p.add_argument('--out', type=Path, required=True)
    p.add_argument('--topk', type=float)
    p.add_argument('--steps', type=int, default=4)
    p.add_argument('--t2v_count', type=int, default=24)
    p.add_argument('--i2v_count', type=int, default=12)
    p.add_argument('--t2v', default='t2v')
    p.add_argument('--high', default='i2v')
    p.add_argument('--low', default='i2v')
    p.add_argument('--ode', action='store_true')
    p.add_argument('--int8', action='store_true')
    p.add_argument('--sheets', type=Path)
    p.add_argument('--threads', type=int, default=1)
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    pipe, out = Pipeline(args.work, args.t2v, args.high, args.low, args.int8), {}
    for kind, count, run in (('t2v', args.t2v_count, lambda n: judge_t2v(pipe, n, args.topk, args.steps)),
                             ('i2v', args.i2v_count, lambda n: judge_i2v(pipe, n, args.topk, args.steps, args.ode))):
        if count:
            out[kind], rows = run(count)
            print(kind, {k: round(v, 3) for k, v in out[kind].items()}, flush=True)
            if args.sheets:
                sheet(rows, args.sheets / f'judge_{kind}.png', 5)
    args.out.write_text(json.dumps(out, indent=1))
