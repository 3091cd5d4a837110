"""Judges films that the Python nets draw, to compare a student with its teacher on the prompts of evaluate.py:

  python compare.py --work W --out O --count 100 teacher=t2v,steps=0,guidance=2.5 few=t2v_few,topk=.5,steps=4

Each net: NAME=FILE[,topk=SHARE][,steps=N][,guidance=G][,frames=N][,language=zh]; without topk dense, steps 0 is the flow in
50 steps. --only counts such scenes alone, --rows adds rows of these to each net's, say spin:action=spin or pan:camera=pan,place=city|mountains.
Writes O/compare.json and a contact sheet of each. The shipped files are judged by evaluate.py, through the engine.
"""
import argparse
import json
from pathlib import Path

import numpy as np
import torch

import evaluate
from judge import net, report
from sample import Studio
import world


def parse(spec):
    name, _, rest = spec.partition('=')
    file, *pairs = rest.split(',')
    options = {'steps': 4, 'topk': None, 'guidance': 1., 'frames': 81, 'language': 'en', 'shape': '16:9'}
    for pair in pairs:
        key, value = pair.split('=')
        options[key] = value if key in ('language', 'shape') else int(value) if key in ('steps', 'frames') else float(value)
    return name, file, options


SHAPES = {'16:9': (144, 256), '9:16': (256, 144), '4:3': (160, 224), '3:4': (224, 160), '1:1': (192, 192)}


def condition(spec):
    """Scene attributes as a dictionary -> whether each one named has one of the values given (or begins with it)."""
    wanted = [pair.split('=') for pair in spec.split(',') if pair]
    return lambda asked: all(any(asked[name].startswith(v) for v in values.split('|')) for name, values in wanted)


def scenes_of(args, language):
    """The jobs of evaluate.py from number --first on that --only lets through, --count of them."""
    asked = argparse.Namespace(seed=args.seed, steps=4, frames=81, shape='16:9', topk=None, language=language)
    wanted, many = condition(args.only), args.first + args.count
    while True:
        jobs = [j for j in evaluate.scene_jobs(asked, 'base', many, args.split)[args.first:] if wanted(j['asked'])]
        if len(jobs) >= args.count:
            return jobs[:args.count]
        many *= 2


def main(args):
    models, _ = net.load(args.weights, args.device)
    out = json.loads((args.out / 'compare.json').read_text()) if (args.out / 'compare.json').exists() else {}
    args.out.mkdir(parents=True, exist_ok=True)
    for spec in args.nets:
        name, file, options = parse(spec)
        jobs = scenes_of(args, options['language'])
        studio = Studio(args.work, 't2v', [file], topk=options['topk'], guidance=options['guidance'])
        shown, right = [], {n: [] for n in (*evaluate.T2V, 'all')}
        for start in range(0, len(jobs), args.batch):
            part = jobs[start:start + args.batch]
            films = studio.films([j['prompt'] for j in part], options['frames'], SHAPES[options['shape']], options['steps'], seed=args.seed * 1000 + args.first + start)
            for job, film in zip(part, films):
                film = (film.permute(0, 2, 3, 1) * 255).round().byte().cpu().numpy()
                scene = world.Scene.from_dict(job['asked'])
                told = net.tell(models, film, scene)
                verdict = [told[n] == getattr(scene, n) for n in evaluate.T2V]
                for n, value in zip(right, verdict + [all(verdict)]):
                    right[n].append(value)
                if len(shown) < args.shown:
                    wrong = [f'{n} {told[n]}' for n, good in zip(evaluate.T2V, verdict) if not good]
                    shown.append((job['prompt'] + (' -- judged ' + ', '.join(wrong) if wrong else ''), film))
            row = lambda values: {'films': len(values['all']), **{n: round(100 * float(np.mean(v)), 1) for n, v in values.items()}}
            out[name] = {'net': file, **options, **row(right)}
            for case, which in (r.split(':', 1) for r in args.rows):
                among = [n for n, j in enumerate(jobs[:len(right['all'])]) if condition(which)(j['asked'])]
                if among:
                    out[name][case] = row({n: [v[k] for k in among] for n, v in right.items()})
            (args.out / 'compare.json').write_text(json.dumps(out, indent=1))
            if len(shown) == args.shown and start // args.batch == (args.shown - 1) // args.batch or start + args.batch >= len(jobs):
                report.sheet(shown, args.out / f'{name}.jpg', budget=900_000)
        print(name, out[name], flush=True)
    if args.choose:
        best = max((out[parse(spec)[0]] for spec in args.nets), key=lambda row: row['all'] + .1 * (row['thing'] + row['camera']) - row['guidance'])
        args.choose.write_text(str(best['guidance']))
        print('chosen: guidance', best['guidance'], flush=True)


if __name__ == '__main__':
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--work', type=Path, required=True)
    p.add_argument('--out', type=Path, required=True)
    p.add_argument('--weights', type=Path, default=Path(__file__).resolve().parent / 'judge/weights')
    p.add_argument('--choose', type=Path, help='file for the guidance of the best net')
    p.add_argument('--count', type=int, default=100)
    p.add_argument('--first', type=int, default=0, help='number of the first prompt')
    p.add_argument('--only', default='', help='NAME=VALUE|VALUE,...: scenes of these attributes only')
    p.add_argument('--rows', nargs='*', default=[], help='CASE:NAME=VALUE|VALUE,...: rows of these among them')
    p.add_argument('--split', default='held', choices=('held', 'train'), help='combinations the nets have seen, to choose by')
    p.add_argument('--shown', type=int, default=24, help='films on the sheet')
    p.add_argument('--batch', type=int, default=10)
    p.add_argument('--seed', type=int, default=1)
    p.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    p.add_argument('nets', nargs='+')
    main(p.parse_args())
