import argparse
import json
from pathlib import Path
import tempfile
import time
import unittest

import numpy as np

import evaluate
from judge import films, report, rules
from judge.verdict import Bench
import world

WEIGHTS = Path(__file__).resolve().parent.parent / 'judge/weights'


def options(**more):
    return argparse.Namespace(**{**dict(seed=1, steps=4, frames=81, shape='16:9', topk=None, language='en', count=6, images=0, photos=None, picture=(256, 144),
                                        variants=[], variant_count=4, variants_on=None, backend='cpu', out=Path(tempfile.gettempdir())), **more})


class Jobs(unittest.TestCase):
    def test_scenes_are_held_out_and_the_same_in_every_variant(self):
        base, chinese = (evaluate.scene_jobs(options(), v, 5) for v in ('base', 'language=zh,steps=2'))
        self.assertTrue(all(world.Scene.from_dict(j['asked']).held for j in base))
        self.assertFalse(any(world.Scene.from_dict(j['asked']).held for j in evaluate.scene_jobs(options(), 'base', 5, 'train')))
        self.assertEqual([j['asked'] for j in base], [j['asked'] for j in chinese])
        self.assertEqual([j['settings']['seed'] for j in base], [j['settings']['seed'] for j in chinese])
        self.assertEqual({j['settings']['steps'] for j in chinese}, {'2'})
        self.assertFalse(any(j['prompt'].isascii() for j in chinese))
        self.assertFalse({j['id'] for j in base} & {j['id'] for j in chinese})

    def test_a_variant_with_a_backend_has_films_of_its_own(self):
        jobs = evaluate.all_jobs(options(variants=['backend=cuda@3', 'seed=1'], variants_on='cuda', variant_count=2))
        by = lambda v: [j for j in jobs if j['variant'] == v]
        self.assertEqual([len(by(v)) for v in ('base', 'backend=cuda', 'seed=1')], [6, 3, 2])
        self.assertEqual([{j['backend'] for j in by(v)} for v in ('base', 'backend=cuda', 'seed=1')], [{'cpu'}, {'cuda'}, {'cuda'}])
        self.assertFalse({j['id'] for j in by('base')} & {j['id'] for j in by('backend=cuda')})
        self.assertNotEqual(by('seed=1')[0]['settings']['seed'], by('base')[0]['settings']['seed'])

    def test_every_variant_grows_at_one_pace(self):
        jobs = evaluate.all_jobs(options(count=8, variants=['steps=1@4']))
        half = [j['variant'] for j in jobs[:6]]
        self.assertIn('steps=1', half)
        self.assertGreaterEqual(half.count('base'), 4)


class Making(unittest.TestCase):
    """With a program of a few lines in the engine's place."""

    def setUp(self):
        self.folder = Path(tempfile.mkdtemp())
        self.program, models = self.folder / 'program', self.folder / 'models/small'
        self.program.write_text('#!/bin/sh\nout=$4; case "$2" in bad*) echo no such thing >&2; exit 3;; esac\n'
                                'echo made >> "$(dirname $out)/count"; echo film > $out\n'
                                'echo "{\\"backend\\": \\"$CUDA_VISIBLE_DEVICES\\", \\"weights\\": [{\\"file\\": \\"a.safetensors\\", \\"sha256\\": \\"$(sha256sum < MODELS/small/a.safetensors | cut -d" " -f1)\\"}]}" > ${out%.mp4}.json\n'
                                .replace('MODELS', str(models.parent)))
        self.program.chmod(0o755)
        models.mkdir(parents=True)
        (models / 'a.safetensors').write_text('one')
        self.models = models.parent
        self.jobs = [dict(id=f'f{n}', backend=b, prompt=p, image=None, settings={}) for n, (b, p) in enumerate([('cpu', 'x'), ('cuda', 'y'), ('cuda', 'z'), ('cpu', 'bad'), ('cuda', 'q')])]
        self.lanes = [films.Lane('cpu', 2), films.Lane('cuda', 2, 1, (4, 7))]

    def made(self):
        return len((self.folder / 'films/count').read_text().splitlines())

    def test_films_are_made_once_on_their_lane_and_again_when_the_weights_change(self):
        done = []
        failed = films.make(self.jobs, self.program, self.models, self.folder / 'films', self.lanes, done=lambda j: done.append(j['id']))
        self.assertEqual(list(failed), ['f3'])
        self.assertIn('no such thing', failed['f3'])
        self.assertEqual(sorted(done), ['f0', 'f1', 'f2', 'f4'])
        self.assertEqual([films.log(self.folder / 'films', j)['backend'] for j in self.jobs[1:3]], ['4', '4'])  # the first alone, then in turn
        self.assertEqual(films.log(self.folder / 'films', self.jobs[4])['backend'], '7')
        films.make(self.jobs[:3], self.program, self.models, self.folder / 'films', self.lanes)
        self.assertEqual(self.made(), 4)
        (self.models / 'small/a.safetensors').write_text('two')
        films.make(self.jobs[:3], self.program, self.models, self.folder / 'films', self.lanes)
        self.assertEqual(self.made(), 7)

    def test_nothing_is_begun_after_the_limit(self):
        failed = films.make(self.jobs, self.program, self.models, self.folder / 'films', self.lanes, limit=1e-9)
        self.assertEqual(len(failed), 5)


class Judging(unittest.TestCase):
    def test_verdicts_are_remembered_until_the_film_is_another(self):
        folder = Path(tempfile.mkdtemp())
        rng = np.random.default_rng(1)
        jobs = evaluate.scene_jobs(options(), 'base', 2)
        for job, mark in zip(jobs, 'ab'):
            np.save(folder / f"{job['id']}.npy", rng.integers(0, 255, (33, 144, 256, 3), np.uint8))
            (folder / f"{job['id']}.json").write_text(json.dumps({'frames_sha256': mark}))
        verdicts = []
        for turn in range(3):
            bench = Bench(folder / 'verdicts.jsonl', WEIGHTS, 'cpu', folder, 1)
            if turn == 2:
                (folder / f"{jobs[0]['id']}.json").write_text(json.dumps({'frames_sha256': 'c'}))
            for job in jobs:
                bench.ask(job)
            asked = bench.waiting
            while bench.waiting:
                time.sleep(.05)
            self.assertEqual(bench.failed, {})
            verdicts.append((asked, [bench.of(job) for job in jobs]))
            bench.close()
            if turn == 0:  # cut off in the middle of a line
                with open(folder / 'verdicts.jsonl', 'a') as file:
                    file.write('{"id": "half a li')
        self.assertEqual([asked for asked, _ in verdicts], [2, 0, 1])
        self.assertEqual(json.dumps(verdicts[0][1]), json.dumps(verdicts[1][1]))
        self.assertEqual(set(verdicts[0][1][0]['right']), {*evaluate.T2V, 'all', 'registered'})

    def test_the_table_counts_what_is_right(self):
        jobs = evaluate.scene_jobs(options(), 'base', 4)
        results = []
        for n, job in enumerate(jobs):
            told = {k: job['asked'][k] for k in evaluate.T2V}
            right = {k: True for k in evaluate.T2V} | {'all': n != 0, 'registered': None, 'thing': n != 0}
            results.append(job | {'made_by': 'cpu', 'device': 'here', 'seconds': 2., 'verdict': {'told': told, 'right': right, 'flicker': 1., 'drift': (1., 0.)}})
        text = report.summary(results, None, {}, {})
        self.assertIn('| base | cpu | 4 | 100 | 75 | 100 | 100 | 100 | 100 | 100 | 75 |', text)
        self.assertIn(f"Things missed: {jobs[0]['asked']['thing']} 1 of", text)


class Rules(unittest.TestCase):
    def test_flicker_and_fidelity_of_known_films(self):
        film = np.zeros((9, 8, 8, 3), np.uint8)
        film[1::2] = 10
        self.assertAlmostEqual(rules.flicker(film), 10.)
        self.assertAlmostEqual(rules.flicker(np.arange(0, 180, 20, dtype=np.uint8)[:, None, None, None] + film * 0), 0.)
        self.assertAlmostEqual(rules.psnr(film[0], film[1]), 20 * np.log10(25.5))


if __name__ == '__main__':
    unittest.main()
