"""What is measured of one film, by worker processes that hold the classifiers, and a file that remembers it."""
import hashlib
import json
import multiprocessing
from pathlib import Path
import threading

import numpy as np
from PIL import Image
import torch

from . import films, net, rules
import world

T2V = tuple(net.SCENE)
_models, _folder = None, None


def judge(model, job, film):
    """Everything that is measured of one film [T,H,W,3] uint8."""
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


def _start(weights, device, folder):
    global _models, _folder
    torch.set_num_threads(1)
    _models, _folder = net.load(weights, device)[0], folder


def _of(job):
    return judge(_models, job, films.read(films.find(_folder, job)))


class Bench:
    """Judges films as they come, in processes of its own. OUT/verdicts.jsonl keeps every verdict with the film it is of
    and the judge that gave it, so that nothing is judged twice."""

    def __init__(self, path, weights, device, folder, workers):
        self.path, self.folder, self.verdicts, self.failed = Path(path), folder, {}, {}
        self.by = hashlib.sha256(b''.join(p.read_bytes() for p in sorted(Path(weights).glob('*.safetensors')))).hexdigest()[:12]
        self.lock, self.asked = threading.Lock(), set()
        for line in self.path.read_text().splitlines() if self.path.exists() else []:
            try:
                row = json.loads(line)
            except json.JSONDecodeError:
                continue  # a line cut off when the program was stopped
            if row['by'] == self.by:
                self.verdicts[row['id'], row['film']] = row['verdict']
        self.file = open(self.path, 'a')
        if self.path.stat().st_size and not self.path.read_bytes().endswith(b'\n'):
            self.file.write('\n')
        self.pool, self.start = None, lambda: multiprocessing.get_context('spawn').Pool(workers, _start, (weights, device, folder))

    def mark(self, job):
        """Which film it is: one that was made again is another."""
        return films.log(self.folder, job).get('frames_sha256', '')[:16]

    def ask(self, job):
        mark = self.mark(job)
        with self.lock:
            if (job['id'], mark) in self.verdicts or (job['id'], mark) in self.asked:
                return
            self.asked.add((job['id'], mark))
            self.pool = self.pool or self.start()
        self.pool.apply_async(_of, (job,), callback=lambda v: self.told(job, mark, v), error_callback=lambda e: self.gave_up(job, mark, e))

    def told(self, job, mark, verdict):
        with self.lock:
            self.asked.discard((job['id'], mark))
            self.verdicts[job['id'], mark] = verdict
            self.file.write(json.dumps({'id': job['id'], 'film': mark, 'by': self.by, 'verdict': verdict}) + '\n')
            self.file.flush()

    def gave_up(self, job, mark, error):
        with self.lock:
            self.asked.discard((job['id'], mark))
            self.failed[job['id']] = f'not judged: {type(error).__name__}: {error}'

    def of(self, job):
        return self.verdicts.get((job['id'], self.mark(job)))

    @property
    def waiting(self):
        with self.lock:
            return len(self.asked)

    def close(self):
        if self.pool:
            self.pool.terminate()
        self.file.close()
