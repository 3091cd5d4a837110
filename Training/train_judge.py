"""Trains the judge's two classifiers on rendered clips, each in some minutes of one processor core (or faster on a GPU):

  python train_judge.py film  --out judge/weights --seconds 360 --photos W/photos      place, action, camera, weather, light; stills
  python train_judge.py thing --out judge/weights --seconds 360                        kind and colour of the thing
  python train_judge.py check --out judge/weights [--vae ../Models/miniature/vae.safetensors]

Clips are drawn on the fly, at the size that the classifier looks at; half of them are damaged as a film may be (soft,
noisy, bleeding, other contrast). `check` measures the error on whole rendered clips of held-out combinations and on
held-out photographs, plain and behind the codec, and writes it to errors.json beside the weights.
"""
import argparse
import json
import math
from pathlib import Path
import time

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from judge import net
import world

SHAPES = ((36, 64), (36, 64), (36, 64), (64, 36), (48, 48), (40, 56), (56, 40))
FULL = ((144, 256), (144, 256), (256, 144), (192, 192), (160, 224), (224, 160))
TOTALS = (81, 81, 81, 33, 49, 121, 161)


def answers_of(items, heads):
    return {n: torch.tensor([options.index(getattr(s, 'camera' if n == 'still camera' else n)) for s in items]) for n, options in heads.items()}


def film_batch(rng, count, photos, device):
    """Small clips: scenes three times of four, else stills."""
    shape, total = SHAPES[int(rng.integers(len(SHAPES)))], TOTALS[int(rng.integers(len(TOTALS)))]
    frames = net.indices(total).tolist()
    fine = 2 if rng.random() < .3 else 1
    size = tuple(n * fine for n in shape)
    if rng.random() < .25:
        items = world.sample_stills(rng, count)
        pictures = world.pictures.batch(photos, rng, count, *size, device=device, shares=(.8, .1, .1))
        return net.shrink(world.render_stills(items, pictures, frames, total, *size, device=device)), answers_of(items, net.STILL)
    items = world.sample_scenes(rng, count, plain=.3)
    film = net.shrink(world.render(items, frames, total, *size, device=device, chunk=64))
    return film, answers_of(items, {n: v for n, v in net.SCENE.items() if n not in net.THING})


def thing_batch(rng, count, photos, device):
    """Windows of two moments, off by as much as a film may be."""
    total = TOTALS[int(rng.integers(len(TOTALS)))]
    moments = rng.choice(net.MOMENTS, 2, replace=False)
    items = world.sample_scenes(rng, count, plain=.4)
    shift = torch.tensor(rng.normal(0, 5, (count, 2, 2)), dtype=torch.float32)
    shape = FULL[int(rng.integers(len(FULL)))]
    film = world.render_windows(items, [round(m * (total - 1)) for m in moments], total, *shape, net.REACH, net.PIXELS, shift)
    # Every moment is an example of its own.
    answers = answers_of(items, net.THING)
    return film.flatten(0, 1)[:, None].to(device), {n: a.repeat_interleave(2) for n, a in answers.items()}


def damage(rng, film):
    """Softness, noise, contrast and bleeding of a generated film, of a strength drawn per batch."""
    b, t, c, h, w = film.shape
    if rng.random() < .5:
        k = float(rng.uniform(.3, 1))
        soft = F.avg_pool2d(film.flatten(0, 1), 3, 1, 1, count_include_pad=False).reshape(film.shape)
        film = film + k * (soft - film)
    if rng.random() < .5:
        cell = int(rng.integers(1, 7))
        coarse = torch.randn(b * t, c, max(2, h // cell), max(2, w // cell), device=film.device)
        film = film + float(rng.uniform(0, .08)) * F.interpolate(coarse, (h, w), mode='bilinear', align_corners=False).reshape(film.shape)
    if rng.random() < .5:
        film = (film - .5) * (1 + .12 * torch.randn(b, 1, 3, 1, 1, device=film.device)) + .5 + .03 * torch.randn(b, 1, 3, 1, 1, device=film.device)
    if t > 1 and rng.random() < .3:
        k = float(rng.uniform(.05, .3))
        film = torch.cat((film[:, :1], film[:, 1:] * (1 - k) + film[:, :-1] * k), 1)
    return (film.clamp(0, 1) * 255).round() / 255


def train(args, model, make, photos):
    rng, device = np.random.default_rng(args.seed), torch.device(args.device)
    model.to(device)
    known = args.out / f'{args.part}.safetensors'
    if args.go_on and known.exists():
        model.load_state_dict({k: v.float() for k, v in load_file(str(known)).items()})
    shadow = type(model)().to(device)
    shadow.load_state_dict(model.state_dict())
    optimiser = torch.optim.AdamW(model.parameters(), 2e-3, weight_decay=.02, betas=(.9, .99))
    begun, step, drawn, shelf, losses = time.time(), 0, 0, [], []
    while (part := (time.time() - begun) / args.seconds) < 1:
        for group in optimiser.param_groups:
            group['lr'] = args.rate * min(1, (step + 1) / 60) * (.02 + .49 * (1 + math.cos(math.pi * part)))
        with torch.no_grad():
            film, answers = make(rng, args.batch, photos, device)
        fresh = (film.half(), {n: a.to(device) for n, a in answers.items()})
        if len(shelf) < args.shelf:
            shelf.append(fresh)
        else:
            shelf[int(rng.integers(len(shelf)))] = fresh
        drawn += 1
        for again in range(args.again + 1):
            film, answers = fresh if again == 0 else shelf[int(rng.integers(len(shelf)))]
            film = film.float()
            if rng.random() < .6:
                film = damage(rng, film)
            logits = model(film)
            loss = sum(F.cross_entropy(logits[n], a, label_smoothing=.02) for n, a in answers.items()) / len(answers)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.)
            optimiser.step()
            step += 1
            with torch.no_grad():
                for a, b in zip(shadow.parameters(), model.parameters()):
                    a.lerp_(b, 1 - min(.997, step / (step + 10)))
            if again == 0:
                losses.append(loss.item())
        if drawn % 25 == 0:
            print(f'{drawn} batches drawn, {step} updates, {time.time() - begun:.0f} s, loss on new clips {np.mean(losses[-25:]):.3f}', flush=True)
            net.save(shadow, args.out / f'{args.part}.safetensors', {'steps': step, 'clips': drawn * args.batch, 'seconds': round(time.time() - begun), 'seed': args.seed})
    net.save(shadow, args.out / f'{args.part}.safetensors', {'steps': step, 'clips': drawn * args.batch, 'seconds': round(time.time() - begun), 'seed': args.seed})


@torch.no_grad()
def through_codec(vae, film):
    """A clip [T,3,H,W] in 0..1, every frame through the codec alone."""
    out = torch.cat([vae.decode(vae.encode(part[:, :, None] * 2 - 1))[:, :, 0] for part in film.split(8)])
    return ((out + 1) / 2).clamp(0, 1)


@torch.no_grad()
def check(args, photos):
    """Errors in per cent on clips that training never saw, through the same door as films: uint8, whole size."""
    models, _ = net.load(args.out, args.device)
    vae, errors = None, {}
    if args.vae:
        from judge.codec import load_codec
        vae = load_codec(args.vae, args.device)
    for name, codec in (('plain', None), ('behind the codec', vae)):
        if name != 'plain' and vae is None:
            continue
        rng, hits = np.random.default_rng(77), {n: [] for n in [*net.HEADS, 'all of a scene']}
        amount = args.check if codec is None else args.check // 2
        wanted = sorted(set(net.indices(81).tolist()) | {round(m * 80) for m in net.MOMENTS})
        for k in range(amount):
            scene = world.sample_scenes(rng, 1, 'held')[0]
            clips = [(scene, world.render([scene], wanted, 81, 144, 256, args.device)[0])]
            if photos and k % 2 == 0:
                still = world.sample_stills(rng, 1)[0]
                picture = world.pictures.crop(photos, rng, 144, 256, args.device, augment=False)[None]
                clips.append((still, world.render_stills([still], picture, wanted, 81, 144, 256, args.device)[0]))
            for item, clip in clips:
                clip = through_codec(codec, clip) if codec is not None else clip
                film = np.zeros((81, 144, 256, 3), np.uint8)
                film[wanted] = (clip.permute(0, 2, 3, 1) * 255).round().byte().cpu().numpy()
                is_scene = isinstance(item, world.Scene)
                told = net.tell(models, film, item if is_scene else None)
                right = {n: told[n] == getattr(item, 'camera' if n == 'still camera' else n) for n in (net.SCENE if is_scene else net.STILL)}
                for n, value in right.items():
                    hits[n].append(value)
                if is_scene:
                    hits['all of a scene'].append(all(right.values()))
        errors[name] = {n: round(100 - 100 * float(np.mean(v)), 1) for n, v in hits.items() if v} | {'clips': len(hits['place'])}
        (args.out / 'errors.json').write_text(json.dumps(errors, indent=1))
        print(name, errors[name], flush=True)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('part', choices=('film', 'thing', 'check'))
    p.add_argument('--out', type=Path, default=Path(__file__).resolve().parent / 'judge/weights')
    p.add_argument('--seconds', type=float, default=360, help='time for training')
    p.add_argument('--batch', type=int, default=32)
    p.add_argument('--shelf', type=int, default=120, help='batches that are kept for seeing again')
    p.add_argument('--again', type=int, default=2, help='updates on kept batches for each fresh one')
    p.add_argument('--go_on', action='store_true', help='from the weights in --out')
    p.add_argument('--rate', type=float, default=2.5e-3)
    p.add_argument('--photos', type=Path, help='folder with train/ and heldout/')
    p.add_argument('--vae', type=Path, help='codec as exported, for check')
    p.add_argument('--check', type=int, default=200, help='scenes for the measured error')
    p.add_argument('--device', default='cpu')
    p.add_argument('--threads', type=int, default=1)
    p.add_argument('--seed', type=int, default=11)
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    photos = world.pictures.load(args.photos / ('heldout' if args.part == 'check' else 'train'), 400) if args.photos else []
    if args.part == 'check':
        check(args, photos)
    else:
        train(args, net.Judge() if args.part == 'film' else net.ThingJudge(), film_batch if args.part == 'film' else thing_batch, photos)


if __name__ == '__main__':
    main()
