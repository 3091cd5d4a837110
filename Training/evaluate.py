"""Judges the shipped model by films of the Swift engine: python evaluate.py --dropreel ../.build/release/dropreel --out W/judged

Text to video: scenes whose combination of place, thing, colour, action and camera was never trained, described in words;
the classifier (train_judge.py) tells what each film shows. Image to video: photographs that were never trained on, with a
camera move or an effect asked for; the first frame is compared with the photograph, the camera is found by registration,
the effect by the classifier. Rows of the table are variants of the first (fewer steps, the other language, other shapes
and lengths, other seeds, dense attention), on the first prompts of the same list. Films that exist are not made again.
Writes OUT/table.md, OUT/results.json and contact sheets OUT/t2v.jpg and OUT/i2v.jpg.
"""
import argparse
from concurrent.futures import ThreadPoolExecutor
import hashlib
import json
import os
from pathlib import Path
import time

import numpy as np
from PIL import Image
import torch

from judge import films, net, report, rules
import world

HERE = Path(__file__).resolve().parent
DEFAULT_VARIANTS = ('base', 'steps=2', 'steps=1', 'language=zh', 'attention=original')
T2V = tuple(net.SCENE)


def settings_of(args, variant):
    """The engine's settings and this program's own (language, seed shift) of a variant such as `steps=2,frames=33`."""
    settings = {'steps': args.steps, 'frames': args.frames, 'aspect_ratio': args.shape}
    if args.topk is not None:
        settings['sla_topk'] = args.topk
    own = {'language': args.language, 'seed': 0}
    for pair in [] if variant == 'base' else variant.split(','):
        name, value = pair.split('=')
        (own if name in own else settings)[name] = value
    return settings, own


def scene_jobs(args, variant, count, split='held'):
    """Held-out scenes with prompts (or, to choose between nets, such as training draws); the n-th is the same in every
    variant."""
    settings, own = settings_of(args, variant)
    rng = np.random.default_rng(args.seed)
    jobs = []
    for n, scene in enumerate(world.sample_scenes(rng, count, split)):
        words = np.random.default_rng(args.seed + 1000 + n)
        prompt = world.caption(scene, words, own['language'], 'plain')
        seed = args.seed * 100_000 + n + 7919 * int(own['seed'])
        jobs.append(job('t2v', variant, n, prompt, None, settings | {'seed': seed}, scene.as_dict()))
    return jobs


def still_jobs(args, variant, count):
    """Held-out photographs, each with one motion; every motion as often as the others."""
    settings, own = settings_of(args, variant)
    settings.pop('aspect_ratio')
    asked = [world.Still(c) for c in world.STILL_CAMERAS[1:]] + [world.Still('static', e) for e in world.EFFECTS[1:]]
    photos = sorted(p for p in args.photos.glob('*') if p.suffix in ('.jpg', '.png')) if args.photos else []
    width, height = args.picture
    folder = args.out / 'pictures'
    folder.mkdir(parents=True, exist_ok=True)
    jobs = []
    for n in range(count if photos else 0):
        photo = photos[n % len(photos)]
        path = folder / f'{photo.stem}-{width}x{height}.png'
        if not path.exists():
            image = Image.open(photo).convert('RGB')
            k = max(width / image.width, height / image.height)
            w, h = width / k, height / k
            x, y = (image.width - w) / 2, (image.height - h) / 2
            image.resize((width, height), Image.LANCZOS, (x, y, x + w, y + h)).save(path)
        still = asked[(n * 7 + n // len(asked)) % len(asked)]
        prompt = world.caption(still, np.random.default_rng(args.seed + 5000 + n), own['language'], 'short')
        jobs.append(job('i2v', variant, n, prompt, str(path), settings | {'seed': args.seed * 100_000 + 50_000 + n}, still.as_dict()))
    return jobs


def job(kind, variant, n, prompt, image, settings, asked):
    value = {'kind': kind, 'variant': variant, 'number': n, 'prompt': prompt, 'image': image, 'settings': settings, 'asked': asked}
    digest = hashlib.sha256(json.dumps([kind, prompt, Path(image).name if image else None, settings], sort_keys=True).encode()).hexdigest()[:10]
    return value | {'id': f'{kind}-{n:04d}-{digest}'}


def in_turn(jobs, counts):
    """The jobs in an order in which all variants grow at one pace, those of the first a little ahead: whatever the time
    allows, every row of the table has its share."""
    place = lambda j: (j['number'] + 1) / counts[j['kind'], j['variant']] + (0 if j['variant'] == 'base' else .3)
    return sorted(jobs, key=place)


def judge(model, job, film):
    """Everything that is measured of one film."""
    told = net.tell(model, film, world.Scene.from_dict(job['asked']) if job['kind'] == 't2v' else None)
    out = {'frames': len(film), 'size': [film.shape[2], film.shape[1]], 'flicker': rules.flicker(film), 'drift': rules.drift(film)}
    if job['kind'] == 't2v':
        scene = world.Scene.from_dict(job['asked'])
        out['told'] = {n: told[n] for n in T2V}
        out['right'] = {n: told[n] == getattr(scene, n) for n in T2V}
        out['right']['all'] = all(out['right'].values())
        # Falling weather moves too, and registration takes it for the camera.
        dry = job['variant'] == 'base' and scene.weather not in ('rain', 'snow', 'leaves')
        out['told']['registered'] = rules.camera_of(film) if dry else None
        out['right']['registered'] = out['told']['registered'] == scene.camera if dry else None
    else:
        still = world.Still.from_dict(job['asked'])
        picture = np.asarray(Image.open(job['image']).convert('RGB'))
        out['told'] = {n: told[n] for n in net.STILL}
        if picture.shape == film.shape[1:]:
            out['first'] = rules.psnr(picture, film[0])
            name, agreement, standing = rules.camera_over(picture, film)
            out['told']['registered'], out['agreement'] = name, (agreement, standing)
        out['right'] = {'camera': out['told'].get('registered') == still.camera if still.camera != 'static' else None,
                        'effect': out['told']['effect'] == still.effect if still.effect != 'none' else None}
        out['right']['asked'] = out['right']['camera'] if still.camera != 'static' else out['right']['effect']
    return out


def summary(args, results, errors):
    """Markdown of all variants."""
    lines = ['# What the films show', '']
    variants = list(dict.fromkeys((r['kind'], r['variant']) for r in results))
    rows, seconds = [], []
    for kind, variant in variants:
        own = [r for r in results if (r['kind'], r['variant']) == (kind, variant)]
        if kind == 't2v':
            rows.append([variant, len(own)] + [report.cell(report.share([r['verdict']['right'][n] for r in own])) for n in T2V + ('all', 'registered')]
                        + [report.cell(np.mean([r['verdict']['flicker'] for r in own]), 2), report.cell(np.mean([r['verdict']['drift'][0] for r in own]), 2)])
        seconds += [r['seconds'] for r in own if r.get('seconds')]
    lines += ['## Text to video: films that show what was asked, in per cent', '',
              report.table(['variant', 'films', *T2V, 'all at once', 'camera by registration, dry weather', 'flicker', 'end/begin sharpness'], rows), '']
    rows = []
    for kind, variant in variants:
        own = [r for r in results if (r['kind'], r['variant']) == (kind, variant)]
        if kind == 'i2v':
            first = [r['verdict']['first'] for r in own if 'first' in r['verdict']]
            rows.append([variant, len(own), report.cell(np.mean(first) if first else None, 1, ' dB'), report.cell(report.share([f >= 30 for f in first])),
                         report.cell(report.share([r['verdict']['right']['camera'] for r in own])), report.cell(report.share([r['verdict']['right']['effect'] for r in own])),
                         report.cell(report.share([r['verdict']['right']['asked'] for r in own])), report.cell(np.mean([r['verdict']['flicker'] for r in own]), 2)])
    if rows:
        lines += ['## Image to video, photographs never seen', '',
                  report.table(['variant', 'films', 'first frame', 'of them >= 30 dB, %', 'asked camera, %', 'asked effect, %', 'either, %', 'flicker'], rows), '']
    pairs = distances(args, results)
    if pairs:
        lines += [f"Two seeds of one prompt: films lie {pairs['seeds']:.1f} levels apart (mean of {pairs['count']} pairs, 8-bit, after 4 x 4 means); "
                  f"two different prompts {pairs['prompts']:.1f}; two drawings of one scene with different jitter {pairs['drawn']:.1f}.", '']
    if errors:
        lines += ["## The classifier's own error", '', 'On rendered clips with held-out combinations and held-out photographs, in per cent.', '',
                  report.table(['', *net.HEADS, 'all of a scene', 'clips'], [[k] + [v.get(n, '–') for n in [*net.HEADS, 'all of a scene', 'clips']] for k, v in errors.items()]), '']
    if seconds:
        lines += [f'{len(seconds)} films by the engine ({args.backend}), {np.mean(seconds):.1f} s each with {args.threads} threads and {args.processes} at once.', '']
    return '\n'.join(lines), pairs


def distances(args, results):
    """Between films of two seeds, of two prompts, and of two drawings."""
    base = {r['number']: r for r in results if r['kind'] == 't2v' and r['variant'] == 'base'}
    other = {r['number']: r for r in results if r['kind'] == 't2v' and 'seed=' in r['variant']}
    both = sorted(set(base) & set(other))
    if not both:
        return None
    load = lambda r: films.read(films.find(args.films or args.out / 'films', r))
    seeds, prompts, drawn = [], [], []
    rng = np.random.default_rng(3)
    for k, n in enumerate(both[:24]):
        a = load(base[n])
        seeds.append(rules.distance(a, load(other[n])))
        other_scene = load(base[both[(k + 1) % len(both)]])
        if other_scene.shape == a.shape:
            prompts.append(rules.distance(a, other_scene))
        scene = base[n]['asked']
        two = [world.Scene.from_dict(scene | {'jitter': rng.uniform(-1, 1, world.scene.JITTERS)}) for _ in range(2)]
        clips = (world.render(two, range(0, len(a), 4), len(a), *a.shape[1:3], args.device).permute(0, 1, 3, 4, 2).cpu().numpy() * 255).astype(np.uint8)
        drawn.append(rules.distance(clips[0].repeat(4, 0), clips[1].repeat(4, 0)))
    return {'seeds': float(np.mean(seeds)), 'prompts': float(np.mean(prompts or [0])), 'drawn': float(np.mean(drawn)), 'count': len(seeds)}


def may_be_shown(picture):
    """Whether a picture is in the public domain (or CC0) as world/PHOTOGRAPHS.md lists it, or not listed there at all."""
    name = Path(picture).stem.rpartition('-')[0]
    for line in (HERE / 'world/PHOTOGRAPHS.md').read_text().splitlines():
        if line.startswith(f'| {name} |'):
            return any(word in line.rsplit('|', 2)[1] for word in ('CC0', 'public'))
    return True


def sheets(args, results):
    folder = args.films or args.out / 'films'
    for kind, count, columns in (('t2v', 24, 2), ('i2v', 12, 2)):
        own = [r for r in results if r['kind'] == kind and r['variant'] == 'base' and r['prompt'].isascii()]
        if kind == 'i2v':
            own = [r for r in own if may_be_shown(r['image'])] or own
        # Places in turn, so that a sheet shows the whole world.
        if kind == 't2v':
            turn = {}
            for r in own:
                turn.setdefault(r['asked']['place'], []).append(r)
            own = [r for n in range(count) for r in (rows[n] if n < len(rows) else None for rows in turn.values()) if r]
        items = [(r['prompt'], films.read(films.find(folder, r))) for r in own[:count]]
        if items:
            report.sheet(items, args.out / f'{kind}.jpg', columns)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--dropreel', type=Path, help='the program; not needed with --films')
    p.add_argument('--models', type=Path, default=HERE.parent / 'Models')
    p.add_argument('--out', type=Path, required=True)
    p.add_argument('--films', type=Path, help='judge the films in this folder (ID.mp4 or ID.npy) instead of making them')
    p.add_argument('--list', action='store_true', help='only write OUT/jobs.json, the films to make')
    p.add_argument('--make', action='store_true', help='only make the films, judge them later')
    p.add_argument('--weights', type=Path, default=HERE / 'judge/weights', help='folder that train_judge.py filled')
    p.add_argument('--photos', type=Path, help='held-out photographs; without them there is no image to video')
    p.add_argument('--count', type=int, default=300, help='text to video films of the first variant')
    p.add_argument('--images', type=int, default=50, help='image to video films')
    p.add_argument('--variants', nargs='*', default=[], help='NAME=VALUE[,NAME=VALUE][@COUNT] besides base; "default" for ' + ' '.join(DEFAULT_VARIANTS[1:]))
    p.add_argument('--variant_count', type=int, default=100)
    p.add_argument('--steps', type=int, default=4)
    p.add_argument('--frames', type=int, default=81)
    p.add_argument('--shape', default='16:9')
    p.add_argument('--picture', type=int, nargs=2, default=(256, 144), help='width and height of the photographs')
    p.add_argument('--language', default='en', choices=('en', 'zh'))
    p.add_argument('--topk', type=float, help="share of keys; without it the model's own")
    p.add_argument('--processes', type=int, default=1)
    p.add_argument('--threads', type=int, default=2)
    p.add_argument('--backend', default='cpu', choices=('cpu', 'cuda'), help='of the engine')
    p.add_argument('--limit', type=float, help='seconds after which no further film is started')
    p.add_argument('--seed', type=int, default=1)
    p.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    args = p.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    jobs = scene_jobs(args, 'base', args.count) + still_jobs(args, 'base', args.images)
    for variant in [v for w in args.variants for v in (DEFAULT_VARIANTS[1:] if w == 'default' else [w])]:
        name, _, number = variant.partition('@')
        amount = min(int(number or args.variant_count), args.count)
        jobs += scene_jobs(args, name, amount)
    counts = {}
    for one in jobs:
        counts[one['kind'], one['variant']] = counts.get((one['kind'], one['variant']), 0) + 1
    (args.out / 'jobs.json').write_text(json.dumps(jobs, indent=1, ensure_ascii=False))
    if args.list:
        return
    folder, failed, begun = args.films or args.out / 'films', {}, time.time()
    if not args.films:
        failed = films.make(in_turn(jobs, counts), args.dropreel.resolve(), args.models, folder, args.processes, args.threads, args.limit, args.backend)
        print(f'films: {time.time() - begun:.0f} s, {len(failed)} failed', flush=True)
        for name, error in list(failed.items())[:5]:
            print(name, error, flush=True)
    if args.make:
        return
    model, notes = net.load(args.weights, args.device)
    made = [j for j in jobs if films.find(folder, j) is not None]
    with ThreadPoolExecutor(min(24, len(os.sched_getaffinity(0)))) as pool:
        verdicts = list(pool.map(lambda j: judge(model, j, films.read(films.find(folder, j))), made))
    results = [j | {'verdict': v, 'seconds': films.log(folder, j).get('total_seconds')} for j, v in zip(made, verdicts)]
    known = args.weights / 'errors.json'
    errors = json.loads(known.read_text()) if known.exists() else {}
    text, pairs = summary(args, results, errors)
    (args.out / 'table.md').write_text(text + '\n')
    (args.out / 'results.json').write_text(json.dumps({'results': results, 'failed': failed, 'pairs': pairs, 'judge': notes}, indent=1, ensure_ascii=False))
    sheets(args, results)
    print(text)


if __name__ == '__main__':
    main()
