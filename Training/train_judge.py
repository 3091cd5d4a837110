"""Trains the judge's classifier on rendered clips: python train_judge.py --out judge/weights/judge.safetensors --seconds 85

Clips of every shape and length are drawn on the fly; half of them pass through damage that a film may have (the codec when
--vae names one, blur, noise, rounding, other contrast). At the end its error is measured on rendered clips with held-out
combinations and held-out photographs, plain and after the codec, and stored in the file's metadata.
"""
import argparse
import json
import math
from pathlib import Path
import time

import numpy as np
import torch
import torch.nn.functional as F

from judge import net
import world

SHAPES = ((144, 256), (144, 256), (144, 256), (256, 144), (192, 192), (160, 224), (224, 160))
TOTALS = (81, 81, 81, 33, 49, 121, 161)


def scenes(rng, count, split, device, shape, total):
    """Clips with their answers."""
    chosen = world.sample_scenes(rng, count, split, plain=.3)
    film = world.render(chosen, net.indices(total).tolist(), total, *shape, device=device, chunk=64)
    return film, {n: torch.tensor([v.index(getattr(s, n)) for s in chosen], device=device) for n, v in net.SCENE.items()}


def stills(rng, count, photos, device, shape, total):
    chosen = world.sample_stills(rng, count)
    pictures = world.pictures.batch(photos, rng, count, *shape, device=device, shares=(.8, .1, .1))
    film = world.render_stills(chosen, pictures, net.indices(total).tolist(), total, *shape, device=device, chunk=64)
    answers = {'still camera': torch.tensor([world.STILL_CAMERAS.index(s.camera) for s in chosen], device=device),
               'effect': torch.tensor([world.EFFECTS.index(s.effect) for s in chosen], device=device)}
    return film, answers


def through_codec(vae, film):
    """Every frame through the codec alone, [B,T,3,H,W] in 0..1."""
    b, t = film.shape[:2]
    flat = film.flatten(0, 1) * 2 - 1
    out = [vae.decode(vae.encode(part.unsqueeze(2)))[:, :, 0] for part in flat.split(64)]
    return ((torch.cat(out) + 1) / 2).clamp(0, 1).reshape(film.shape).to(film.dtype)


def damage(rng, film):
    """Softness, noise, contrast and rounding of a generated film, of a strength drawn per batch."""
    b, t, c, h, w = film.shape
    if rng.random() < .5:
        k = float(rng.uniform(1.1, 2.2))
        small = F.interpolate(film.flatten(0, 1), scale_factor=1 / k, mode='area')
        film = F.interpolate(small, (h, w), mode='bilinear', align_corners=False).reshape(film.shape)
    if rng.random() < .5:
        coarse = torch.randn(b * t, c, h // int(rng.integers(1, 9)), w // int(rng.integers(1, 9)), device=film.device)
        film = film + float(rng.uniform(0, .07)) * F.interpolate(coarse, (h, w), mode='bilinear', align_corners=False).reshape(film.shape)
    if rng.random() < .5:
        gain = 1 + .12 * torch.randn(b, 1, 3, 1, 1, device=film.device)
        film = (film - .5) * gain + .5 + .03 * torch.randn(b, 1, 3, 1, 1, device=film.device)
    if rng.random() < .4:
        # Neighbouring frames bleed into each other.
        k = float(rng.uniform(.05, .3))
        film = torch.cat((film[:, :1], film[:, 1:] * (1 - k) + film[:, :-1] * k), 1)
    return (film.clamp(0, 1) * 255).round() / 255


def update(model, optimiser, rng, film, answers, cuda):
    """One step on clips at the judge's size."""
    with torch.no_grad():
        if rng.random() < .7:
            film = damage(rng, film)
    with torch.autocast(film.device.type, torch.bfloat16, enabled=cuda):
        logits = model(film)
        loss = sum(F.cross_entropy(logits[n].float(), a, label_smoothing=.02) for n, a in answers.items()) / len(answers)
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.)
    optimiser.step()
    return loss.detach()


@torch.no_grad()
def measure(model, device, photos, vae, count):
    """Errors in per cent on clips that training never saw."""
    out = {}
    for name, codec in (('plain', None), ('codec', vae)):
        if name == 'codec' and vae is None:
            continue
        right, seen, whole = {n: 0 for n in net.HEADS}, {n: 0 for n in net.HEADS}, 0
        rng, amount = np.random.default_rng(77), min(32, count)
        for k in range(math.ceil(count / amount)):
            shape = (144, 256)
            for make in (scenes, stills):
                if make is scenes:
                    film, answers = scenes(rng, amount, 'held', device, shape, 81)
                elif len(photos):
                    film, answers = stills(rng, amount, photos, device, shape, 81)
                else:
                    continue
                if codec is not None:
                    film = through_codec(codec, film)
                logits = model(net.shrink(film))
                hits = {n: logits[n].argmax(-1) == a for n, a in answers.items()}
                for n, h in hits.items():
                    right[n] += int(h.sum())
                    seen[n] += len(h)
                if make is scenes:
                    whole += int(torch.stack(list(hits.values())).all(0).sum())
        out[name] = {n: round(100 - 100 * right[n] / seen[n], 2) for n in net.HEADS if seen[n]}
        out[name]['all of a scene'] = round(100 - 100 * whole / max(1, seen['place']), 2)
        out[name]['clips'] = seen['place']
    return out


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--out', type=Path, required=True)
    p.add_argument('--seconds', type=float, default=85, help='time for training')
    p.add_argument('--batch', type=int, default=64)
    p.add_argument('--start', type=Path, help='weights to start from; with --seconds 0 they are only measured')
    p.add_argument('--shelf', type=int, default=120, help='batches that are kept for seeing again')
    p.add_argument('--again', type=int, default=2, help='updates on kept batches for each fresh one')
    p.add_argument('--photos', type=Path, help='folder with train/ and heldout/')
    p.add_argument('--vae', type=Path, help='codec as exported, Models/miniature/vae.safetensors')
    p.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    p.add_argument('--check', type=int, default=512, help='clips of each kind for the measured error')
    p.add_argument('--threads', type=int, default=0)
    p.add_argument('--seed', type=int, default=11)
    args = p.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    rng, device = np.random.default_rng(args.seed), torch.device(args.device)
    photos, unseen = ([], []) if not args.photos else (world.pictures.load(args.photos / d) for d in ('train', 'heldout'))
    vae = None
    if args.vae:
        from judge.codec import load_codec
        vae = load_codec(args.vae, device)
    model = net.Judge().to(device)
    shadow = net.Judge().to(device)
    if args.start:
        model.load_state_dict(net.load(args.start).state_dict())
    shadow.load_state_dict(model.state_dict())
    optimiser = torch.optim.AdamW(model.parameters(), 2e-3, weight_decay=.02, betas=(.9, .99))
    cuda, begun, step, losses = device.type == 'cuda', time.time(), 0, []
    drawn, shelf = 0, []
    while True:
        part = (time.time() - begun) / args.seconds if args.seconds else 1
        if part >= 1:
            break
        for group in optimiser.param_groups:
            group['lr'] = 2.5e-3 * min(1, (step + 1) / 100) * (.02 + .98 * .5 * (1 + math.cos(math.pi * min(1, part))))
        shape, total = SHAPES[int(rng.integers(len(SHAPES)))], TOTALS[int(rng.integers(len(TOTALS)))]
        if rng.random() < .75:
            # Most clips are drawn at three quarters of their size: the judge looks at half the size anyway.
            shape = tuple(n * 3 // 4 for n in shape)
        with torch.no_grad():
            film, answers = stills(rng, args.batch, photos, device, shape, total) if drawn % 4 == 3 else \
                scenes(rng, args.batch, 'train', device, shape, total)
            if vae is not None and rng.random() < .15:
                film = through_codec(vae, film)
            fresh = (net.shrink(film).half(), answers)
            drawn += 1
        if len(shelf) < args.shelf:
            shelf.append(fresh)
        else:
            shelf[int(rng.integers(len(shelf)))] = fresh
        for again in range(args.again + 1):
            film, answers = fresh if again == 0 else shelf[int(rng.integers(len(shelf)))]
            loss = update(model, optimiser, rng, film.float(), answers, cuda)
            step += 1
            with torch.no_grad():
                keep = min(.998, step / (step + 10))
                for a, b in zip(shadow.parameters(), model.parameters()):
                    a.lerp_(b, 1 - keep)
        if drawn % 10 == 0:
            losses.append((step, round(float(loss), 4)))
            if drawn % 100 == 0:
                print(f'{step} updates, {drawn} batches drawn, {time.time() - begun:.0f} s, loss {float(loss):.4f}', flush=True)
    shadow.eval()
    errors = measure(shadow, device, unseen, vae, args.check)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    net.save(shadow, args.out, {'errors': json.dumps(errors), 'steps': step, 'seconds': round(time.time() - begun), 'seed': args.seed})
    print(json.dumps({'steps': step, 'batch': args.batch, 'errors': errors, 'losses': losses[-3:]}))


if __name__ == '__main__':
    main()
