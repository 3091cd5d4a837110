"""Judges the shipped model by films of the Swift engine: python evaluate.py --dropreel ../.build/release/dropreel --out W/judged

Text to video: scenes whose combination of place, thing, colour, action and camera was never trained, described in words;
the classifier (train_judge.py) tells what each film shows. Image to video: photographs that were never trained on, with a
camera move or an effect asked for; the first frame is compared with the photograph, the camera is found by registration,
the effect by the classifier. Rows of the table are variants of the first (fewer steps, the other language, other shapes
and lengths, other seeds, dense attention), on the first prompts of the same list. Films that exist are not made again.
Writes OUT/table.md, OUT/results.json and contact sheets OUT/t2v.jpg and OUT/i2v.jpg.
"""
import argparse
import hashlib
import json
import multiprocessing
import os
from pathlib import Path
import signal
import threading
import time

import numpy as np
from PIL import Image
import torch

from judge import films, report, rules
from judge.verdict import T2V, Bench
import world

HERE = Path(__file__).resolve().parent
DEFAULT_VARIANTS = ('base', 'steps=2', 'steps=1', 'language=zh', 'attention=original')


def settings_of(args, variant):
    """The engine's settings and this program's own (language, seed shift, backend, size of photographs) of a variant such as `steps=2,frames=33`."""
    settings = {'steps': args.steps, 'frames': args.frames, 'aspect_ratio': args.shape}
    if args.topk is not None:
        settings['sla_topk'] = args.topk
    own = {'language': args.language, 'seed': 0, 'backend': None, 'picture': None}
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
        jobs.append(job('t2v', variant, n, prompt, None, settings | {'seed': seed}, scene.as_dict(), own['backend']))
    return jobs


def still_jobs(args, variant, count):
    """Held-out photographs, each with one motion; every motion as often as the others."""
    settings, own = settings_of(args, variant)
    settings.pop('aspect_ratio')
    asked = [world.Still(c) for c in world.STILL_CAMERAS[1:]] + [world.Still('static', e) for e in world.EFFECTS[1:]]
    photos = sorted(p for p in args.photos.glob('*') if p.suffix in ('.jpg', '.png')) if args.photos else []
    width, height = map(int, own['picture'].split('x')) if own['picture'] else args.picture
    folder = args.out / 'pictures'
    folder.mkdir(parents=True, exist_ok=True)
    jobs = []
    for n in range(count if photos else 0):
        photo = photos[n % len(photos)]
        path = folder / f'{photo.stem}-{width}x{height}.png'
        if not path.exists():
            image = Image.open(photo).convert('RGB')
            k = max(width / image.width, height / image.height)
            w, h = min(width / k, image.width), min(height / k, image.height)  # a rounded quotient may reach beyond
            x, y = (image.width - w) / 2, (image.height - h) / 2
            image.resize((width, height), Image.LANCZOS, (x, y, x + w, y + h)).save(path)
        still = asked[(n * 7 + n // len(asked)) % len(asked)]
        prompt = world.caption(still, np.random.default_rng(args.seed + 5000 + n), own['language'], 'short')
        jobs.append(job('i2v', variant, n, prompt, str(path), settings | {'seed': args.seed * 100_000 + 50_000 + n}, still.as_dict(), own['backend']))
    return jobs


def job(kind, variant, n, prompt, image, settings, asked, backend=None):
    """A film to make and what it is asked to show. A variant that names its backend has films of its own."""
    value = {'kind': kind, 'variant': variant, 'number': n, 'prompt': prompt, 'image': image, 'settings': settings, 'asked': asked, 'backend': backend}
    named = [kind, prompt, Path(image).name if image else None, settings] + ([backend] if backend else [])
    digest = hashlib.sha256(json.dumps(named, sort_keys=True).encode()).hexdigest()[:10]
    return value | {'id': f'{kind}-{n:04d}-{digest}'}


def in_turn(jobs, counts):
    """The jobs in an order in which all variants grow at one pace, those of the first a little ahead: whatever the time
    allows, every row of the table has its share."""
    place = lambda j: (j['number'] + 1) / counts[j['kind'], j['variant']] + (0 if j['variant'] == 'base' else .3)
    return sorted(jobs, key=place)


def all_jobs(args):
    jobs = scene_jobs(args, 'base', args.count) + still_jobs(args, 'base', args.images)
    for variant in [v for w in args.variants for v in (DEFAULT_VARIANTS[1:] if w == 'default' else [w])]:
        name, _, number = variant.partition('@')
        if name.startswith('i2v:'):
            jobs += still_jobs(args, name[4:], min(int(number or args.variant_count), args.images))
        else:
            jobs += scene_jobs(args, name, min(int(number or args.variant_count), args.count))
    for one in jobs:
        one['backend'] = one['backend'] or (args.variants_on if one['variant'] != 'base' else None) or args.backend
    counts = {}
    for one in jobs:
        counts[one['kind'], one['variant']] = counts.get((one['kind'], one['variant']), 0) + 1
    return in_turn(jobs, counts)


class Evaluation:
    """Films are made by the engine's processes and judged by others meanwhile; the table is written anew all the time,
    so that whenever this is stopped there is one."""

    def __init__(self, args, jobs):
        self.args, self.jobs, self.folder = args, jobs, args.films or args.out / 'films'
        self.failed, self.begun, self.stopped = {}, time.time(), False
        self.order = {name: n for n, name in enumerate(['base', *(v.partition('@')[0].removeprefix('i2v:') for v in args.variants), *DEFAULT_VARIANTS])}
        self.bench = None if args.make else Bench(args.out / 'verdicts.jsonl', args.weights, args.device, self.folder, args.judges)
        self.early = []

    def lanes(self):
        args, wanted = self.args, {j['backend'] for j in self.jobs}
        lanes = [films.Lane('cpu', args.processes, args.threads), films.Lane('cuda', args.gpu_processes * max(1, len(args.devices)), 1, tuple(args.devices), self.free)]
        return [lane for lane in lanes if lane.backend in wanted]

    def free(self):
        """Whether GPUs may be used."""
        return time.time() - self.begun >= self.args.gpu_wait or bool(self.args.gpu_after and self.args.gpu_after.exists())

    def ask(self, job):
        """Judges a film, but not while the GPU is somebody else's."""
        self.bench.ask(job) if self.free() else self.early.append(job)

    def make(self):
        self.failed = films.make(self.jobs, self.args.dropreel.resolve(), self.args.models, self.folder, self.lanes(), self.args.limit,
                                 self.ask if self.bench else None)
        print(f'films: {time.time() - self.begun:.0f} s, {len(self.failed)} failed', flush=True)
        for name, error in list(self.failed.items())[:5]:
            print(name, error, flush=True)

    def run(self):
        signal.signal(signal.SIGTERM, lambda *_: setattr(self, 'stopped', True))
        if self.args.films:
            for one in self.jobs:
                if films.find(self.folder, one):
                    self.bench.ask(one)
            maker = None
        else:
            maker = threading.Thread(target=self.make, daemon=True)
            maker.start()
        written = time.time()
        while not self.stopped and (maker and maker.is_alive() or self.early or self.bench and self.bench.waiting):
            time.sleep(.2)
            while self.early and (self.free() or not maker.is_alive()):
                self.bench.ask(self.early.pop())
            if self.bench and time.time() - written > self.args.every:
                self.write()
                written = time.time()
        if self.bench:
            print(self.write(last=not self.stopped), flush=True)
        if self.stopped:  # at once: films and verdicts under way are made again; the engine's processes end with their films
            for judge in multiprocessing.active_children():
                judge.kill()
            os._exit(0)
        if self.bench:
            self.bench.close()

    def results(self):
        out = []
        for one in self.jobs:
            verdict = self.bench.of(one)
            if verdict:
                log = films.log(self.folder, one)
                out.append(one | {'verdict': verdict, 'seconds': log.get('total_seconds'), 'made_by': log.get('backend'), 'device': log.get('device')})
        return sorted(out, key=lambda r: (r['kind'] != 't2v', r['variant'] != 'base', self.order[r['variant']], r['number']))

    def write(self, last=False):
        args, results = self.args, self.results()
        if not results:
            return ''
        known = args.weights / 'errors.json'
        pairs = distances(args, results) if last else None
        beside = {k: v for path in args.beside if path.exists() for k, v in json.loads(path.read_text()).items()}
        text = report.summary(results, pairs, json.loads(known.read_text()) if known.exists() else {}, beside)
        replace(args.out / 'table.md', text + '\n')
        replace(args.out / 'results.json', json.dumps({'results': results, 'failed': self.failed | self.bench.failed, 'pairs': pairs, 'judge': self.bench.by},
                                                      indent=1, ensure_ascii=False))
        if last or not (args.out / 't2v.jpg').exists() and len(results) > 120:
            sheets(args, results)
        return text


def replace(path, text):
    path.with_suffix('.tmp').write_text(text)
    path.with_suffix('.tmp').rename(path)


def distances(args, results):
    """Between films of two seeds, of two prompts, and of two drawings."""
    there = [r for r in results if r['kind'] == 't2v' and films.find(args.films or args.out / 'films', r)]
    base = {r['number']: r for r in there if r['variant'] == 'base'}
    other = {r['number']: r for r in there if 'seed=' in r['variant']}
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
        own = [r for r in results if r['kind'] == kind and r['variant'] == 'base' and r['prompt'].isascii() and films.find(folder, r)]
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
    p.add_argument('--variants', nargs='*', default=[], help='[i2v:]NAME=VALUE[,NAME=VALUE][@COUNT] besides base; "default" for ' + ' '.join(DEFAULT_VARIANTS[1:]))
    p.add_argument('--variant_count', type=int, default=100)
    p.add_argument('--steps', type=int, default=4)
    p.add_argument('--frames', type=int, default=81)
    p.add_argument('--shape', default='16:9')
    p.add_argument('--picture', type=int, nargs=2, default=(256, 144), help='width and height of the photographs')
    p.add_argument('--language', default='en', choices=('en', 'zh'))
    p.add_argument('--topk', type=float, help="share of keys; without it the model's own")
    p.add_argument('--processes', type=int, default=1, help='films at once on processor cores')
    p.add_argument('--threads', type=int, default=2, help='of each of them')
    p.add_argument('--backend', default='cpu', choices=('cpu', 'cuda'), help='of the engine')
    p.add_argument('--variants_on', choices=('cpu', 'cuda'), help='the backend for variants that name none (default: --backend)')
    p.add_argument('--devices', type=int, nargs='*', default=[0], help='GPUs for the CUDA backend')
    p.add_argument('--gpu_processes', type=int, default=4, help='films at once on each of them')
    p.add_argument('--gpu_wait', type=float, default=0, help='seconds for which GPUs are left alone')
    p.add_argument('--gpu_after', type=Path, help='or until this file is there')
    p.add_argument('--every', type=float, default=20, help='seconds between writings of the table')
    p.add_argument('--limit', type=float, help='seconds after which no further film is started')
    p.add_argument('--seed', type=int, default=1)
    p.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu', help='of the judge')
    p.add_argument('--judges', type=int, default=2, help='processes that judge')
    p.add_argument('--beside', type=Path, nargs='*', default=[], help='compare.json of compare.py, for a table of the Python nets')
    args = p.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    jobs = all_jobs(args)
    (args.out / 'jobs.json').write_text(json.dumps(jobs, indent=1, ensure_ascii=False))
    if not args.list:
        Evaluation(args, jobs).run()


if __name__ == '__main__':
    main()
