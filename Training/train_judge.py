"""Trains the judge's two classifiers on rendered clips, each in some minutes of a GPU (on a CPU with small --batch):

  python train_judge.py film  --out judge/weights --seconds 180 --photos W/photos --vae VAE    place, action, camera, weather, light; stills
  python train_judge.py thing --out judge/weights --seconds 120 --vae VAE                      kind and colour of the thing
  python train_judge.py check --out judge/weights --photos W/photos --vae ../Models/miniature/vae.safetensors

Clips are drawn on the fly. More than half of them are damaged as a film may be (soft, noisy, bleeding, other contrast; with
--vae also through the codec, with noise on the latents). `check` measures the error on whole rendered clips of held-out
combinations and on held-out photographs, plain, in other shapes and lengths, and behind the codec, and writes it to
errors.json beside the weights.
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

FULL = ((144, 256), (144, 256), (256, 144), (192, 192), (160, 224), (224, 160))
TOTALS = (81, 81, 81, 33, 49, 121, 161)
#: Weights of the heads in the loss: motion is the hardest to learn.
STRESS = {'camera': 2., 'action': 1.5}


def answers_of(items, heads):
    return {n: torch.tensor([options.index(getattr(s, 'camera' if n == 'still camera' else n)) for s in items]) for n, options in heads.items()}


def film_batch(rng, args, photos, codec):
    """Films as they are looked at: scenes three times of four, else stills. Drawn small, or whole and shrunk, the whole
    ones at times through the codec."""
    shape, total = FULL[int(rng.integers(len(FULL)))], TOTALS[int(rng.integers(len(TOTALS)))]
    frames = net.indices(total).tolist()
    whole = rng.random() < .35
    size = shape if whole else tuple(n // 2 for n in shape)
    if rng.random() < .25:
        items = world.sample_stills(rng, args.batch)
        pictures = world.pictures.batch(photos, rng, args.batch, *size, device=args.device, shares=(.8, .1, .1))
        film = world.render_stills(items, pictures, frames, total, *size, device=args.device, chunk=args.batch)
        answers = answers_of(items, net.STILL)
    else:
        items = world.sample_scenes(rng, args.batch, plain=.3)
        film = world.render(items, frames, total, *size, device=args.device, chunk=args.batch)
        answers = answers_of(items, {n: v for n, v in net.SCENE.items() if n not in net.THING})
    if codec is not None and whole and rng.random() < .4:
        film = through_codec(codec, film.flatten(0, 1), rng).unflatten(0, film.shape[:2])
    return net.shrink(film), answers


def thing_batch(rng, args, photos, codec):
    """Windows of two moments, off by as much as a film may be."""
    total = TOTALS[int(rng.integers(len(TOTALS)))]
    moments = rng.choice(net.MOMENTS, 2, replace=False)
    items = world.sample_scenes(rng, args.batch, plain=.4)
    shift = torch.tensor(rng.normal(0, 5, (args.batch, 2, 2)), dtype=torch.float32)
    shape = FULL[int(rng.integers(len(FULL)))]
    film = world.render_windows(items, [round(m * (total - 1)) for m in moments], total, *shape, net.REACH, net.PIXELS, shift, args.device)
    # Every moment is an example of its own.
    film = film.flatten(0, 1)
    if codec is not None and rng.random() < .5:
        film = through_codec(codec, film, rng)
    answers = answers_of(items, net.THING)
    return film[:, None], {n: a.repeat_interleave(2) for n, a in answers.items()}


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
    cuda = device.type == 'cuda'
    model.to(device)
    known = args.out / f'{args.part}.safetensors'
    if args.go_on and known.exists():
        model.load_state_dict({k: v.float() for k, v in load_file(str(known)).items()})
    shadow = type(model)().to(device)
    shadow.load_state_dict(model.state_dict())
    codec = codec_of(args)
    optimiser = torch.optim.AdamW(model.parameters(), args.rate, weight_decay=.02, betas=(.9, .99))
    begun, step, drawn, shelf, losses, saved = time.time(), 0, 0, [], [], time.time()
    seconds = max(1., min(args.seconds, (args.until or math.inf) - begun))

    def keep():
        net.save(shadow, known, {'steps': step, 'clips': drawn * args.batch, 'seconds': round(time.time() - begun), 'seed': args.seed})

    while (part := (time.time() - begun) / seconds) < 1:
        for group in optimiser.param_groups:
            group['lr'] = args.rate * min(1, (step + 1) / 60) * (.02 + .49 * (1 + math.cos(math.pi * part)))
        with torch.no_grad():
            film, answers = make(rng, args, photos, codec)
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
            with torch.autocast(device.type, torch.bfloat16, enabled=cuda):
                logits = model(film)
            wrong = {n: F.cross_entropy(logits[n], a, label_smoothing=.02) for n, a in answers.items()}
            loss = sum(STRESS.get(n, 1.) * value for n, value in wrong.items()) / len(answers)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.)
            optimiser.step()
            step += 1
            with torch.no_grad():
                for a, b in zip(shadow.parameters(), model.parameters()):
                    a.lerp_(b, 1 - min(.997, step / (step + 10)))
            if again == 0:
                losses.append({n: (logits[n].argmax(1) != a).float().mean().item() for n, a in answers.items()})
        if drawn % args.every == 0:
            recent = losses[-args.every:]
            share = {n: round(100 * float(np.mean([row[n] for row in recent if n in row])), 1) for n in sorted({n for row in recent for n in row})}
            print(f'{drawn} batches drawn, {step} updates, {time.time() - begun:.0f} s, wrong on new clips, per cent: {share}', flush=True)
        if time.time() - saved > 20:
            saved = time.time()
            keep()
    keep()


def codec_of(args):
    if not args.vae:
        return None
    from judge.codec import load_codec
    return load_codec(args.vae, args.device)


@torch.no_grad()
def through_codec(vae, frames, rng=None, chunk=136):
    """Frames [N,3,H,W] in 0..1, H and W multiples of 8, each through the codec alone. With `rng`: and noise on the latents,
    of a strength drawn once, as of a net that draws badly."""
    strength = 0. if rng is None else float(rng.choice((0., rng.uniform(0, .4))))
    out = []
    for part in frames.split(chunk):
        z = vae.encode(part[:, :, None] * 2 - 1)
        out.append(vae.decode(z + strength * torch.randn_like(z))[:, :, 0])
    return ((torch.cat(out) + 1) / 2).clamp(0, 1).to(frames.dtype)


@torch.no_grad()
def check(args, photos):
    """Errors in per cent on clips that training never saw, through the same door as films: uint8, whole size."""
    models, _ = net.load(args.out, args.device)
    vae, errors = codec_of(args), {}
    for name in ('plain', 'other shapes and lengths', 'behind the codec'):
        if name == 'behind the codec' and vae is None:
            continue
        rng, hits, confused = np.random.default_rng(77), {n: [] for n in [*net.HEADS, 'all of a scene']}, {}
        amount, group = args.check if name == 'plain' else args.check // 2, 8
        for k in range(0, amount, group):
            shape, total = (144, 256), 81
            if name.startswith('other'):
                shape, total = FULL[2 + int(rng.integers(len(FULL) - 2))], TOTALS[int(rng.integers(len(TOTALS)))]
            wanted = sorted(set(net.indices(total).tolist()) | {round(m * (total - 1)) for m in net.MOMENTS})
            scenes = world.sample_scenes(rng, group, 'held')
            clips = list(zip(scenes, world.render(scenes, wanted, total, *shape, args.device)))
            if photos:
                stills = world.sample_stills(rng, group // 2)
                pictures = torch.stack([world.pictures.crop(photos, rng, *shape, args.device, augment=False) for _ in stills])
                clips += list(zip(stills, world.render_stills(stills, pictures, wanted, total, *shape, args.device)))
            for item, clip in clips:
                clip = through_codec(vae, clip) if name == 'behind the codec' else clip
                film = np.zeros((total, *shape, 3), np.uint8)
                film[wanted] = (clip.permute(0, 2, 3, 1) * 255).round().byte().cpu().numpy()
                is_scene = isinstance(item, world.Scene)
                told = net.tell(models, film, item if is_scene else None)
                right = {}
                for n in net.SCENE if is_scene else net.STILL:
                    asked = getattr(item, 'camera' if n == 'still camera' else n)
                    right[n] = told[n] == asked
                    hits[n].append(right[n])
                    if not right[n]:
                        pair = f'{n}: {asked} taken for {told[n]}'
                        confused[pair] = confused.get(pair, 0) + 1
                if is_scene:
                    hits['all of a scene'].append(all(right.values()))
        errors[name] = {n: round(100 - 100 * float(np.mean(v)), 1) for n, v in hits.items() if v} | {'clips': len(hits['place'])}
        (args.out / 'errors.json').write_text(json.dumps(errors, indent=1))
        print(name, errors[name], sorted(confused.items(), key=lambda pair: -pair[1])[:8], flush=True)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('part', choices=('film', 'thing', 'check'))
    p.add_argument('--out', type=Path, default=Path(__file__).resolve().parent / 'judge/weights')
    p.add_argument('--seconds', type=float, default=360, help='time for training')
    p.add_argument('--until', type=float, help='stop at this time (seconds since 1970)')
    p.add_argument('--batch', type=int, default=64)
    p.add_argument('--shelf', type=int, default=200, help='batches that are kept for seeing again')
    p.add_argument('--again', type=int, default=3, help='updates on kept batches for each fresh one')
    p.add_argument('--every', type=int, default=25, help='fresh batches between two lines of the log')
    p.add_argument('--go_on', action='store_true', help='from the weights in --out')
    p.add_argument('--rate', type=float, default=2e-3)
    p.add_argument('--photos', type=Path, help='folder with train/ and heldout/')
    p.add_argument('--vae', type=Path, help='codec as exported, for damage and for check')
    p.add_argument('--check', type=int, default=200, help='scenes for the measured error')
    p.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    p.add_argument('--threads', type=int, default=1)
    p.add_argument('--seed', type=int, default=11)
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    photos = world.pictures.load(args.photos / ('heldout' if args.part == 'check' else 'train'), 400) if args.photos else []
    if args.part == 'check':
        check(args, photos)
    else:
        train(args, net.Judge() if args.part == 'film' else net.ThingJudge(), film_batch if args.part == 'film' else thing_batch, photos)


if __name__ == '__main__':
    main()
