"""Making films with the Swift engine, many at once, and reading them."""
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
import hashlib
import json
import os
from pathlib import Path
import shutil
import subprocess
import time

import numpy as np


@dataclass(frozen=True)
class Lane:
    """Where films of one backend are made: so many at once, each with so many threads, on these GPUs in turn, as soon as
    `free()`."""
    backend: str
    processes: int
    threads: int = 1
    devices: tuple = ()
    free: object = None


def configuration(folder, models, threads, backend='cpu'):
    """A service configuration of its own below `folder`."""
    folder = folder / backend
    for name in ('inbox', 'outbox', 'rules', 'state'):
        (folder / name).mkdir(parents=True, exist_ok=True)
    path = folder / 'dropreel.toml'
    path.write_text(f'root = "."\n[models]\ndirectories = ["{Path(models).resolve()}"]\n[engine]\nbackend = "{backend}"\nthreads = {threads}\n')
    return path


def digests(models):
    """{file name: sha256} of the weights below `models`."""
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in Path(models).rglob('*.safetensors')}


def current(folder, job, known):
    """Whether the film of a job is there and was made from these weights (`known` of `digests`)."""
    if find(folder, job) is None:
        return False
    made = log(folder, job).get('weights', [])
    return all(known.get(w['file'], w['sha256']) == w['sha256'] for w in made)


def make(jobs, program, models, folder, lanes, limit=None, done=None):
    """Runs `dropreel generate` for every job without a film; a job has id, backend, prompt, image (or None) and settings.
    `done(job)` is called from a thread for every film that is there. Returns {id: error} of those that failed. Stops
    starting new ones after `limit` seconds."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    known, failed, begun = digests(models), {}, time.time()
    configs = {lane.backend: configuration(folder / 'service', models, lane.threads, lane.backend) for lane in lanes}

    def run(lane, number, job):
        film = folder / f"{job['id']}.mp4"
        if not current(folder, job, known):
            if limit and time.time() - begun > limit:
                failed[job['id']] = 'not made: out of time'
                return
            part = folder / f"{job['id']}.part.mp4"
            command = [str(program), 'generate', job['prompt'], '--output', str(part), '--config', str(configs[lane.backend])]
            for name, value in job['settings'].items():
                command += ['--set', f'{name}={value}']
            if job.get('image'):
                command += ['--image', str(job['image'])]
            environment = dict(os.environ, OPENBLAS_NUM_THREADS=str(lane.threads), OMP_NUM_THREADS=str(lane.threads))
            if lane.devices:
                environment['CUDA_VISIBLE_DEVICES'] = str(lane.devices[number % len(lane.devices)])
            result = subprocess.run(command, capture_output=True, text=True, env=environment)
            if result.returncode != 0:
                failed[job['id']] = f'exit {result.returncode}: ' + result.stderr.strip()[-300:]
                return
            part.with_suffix('.json').replace(film.with_suffix('.json'))
            part.replace(film)
        if done:
            done(job)

    def all_of(lane):
        own = [j for j in jobs if j['backend'] == lane.backend]
        while lane.free and not lane.free():
            time.sleep(.2)
        if lane.devices and own:  # alone: it may have to compile what the others find ready
            _guarded(failed, own[0], run, lane, 0, own.pop(0))
        with ThreadPoolExecutor(lane.processes) as pool:
            for number, job in enumerate(own):
                pool.submit(_guarded, failed, job, run, lane, number, job)

    with ThreadPoolExecutor(len(lanes)) as pool:
        for lane in lanes:
            pool.submit(all_of, lane)
    return failed


def _guarded(failed, job, call, *arguments):
    try:
        call(*arguments)
    except Exception as error:  # one film's trouble is not the others'
        failed[job['id']] = f'{type(error).__name__}: {error}'


def log(folder, job):
    """The engine's own log of a film, {} without one."""
    path = Path(folder) / f"{job['id']}.json"
    return json.loads(path.read_text()) if path.exists() else {}


def find(folder, job):
    for suffix in ('.mp4', '.npy'):
        path = Path(folder) / f"{job['id']}{suffix}"
        if path.exists():
            return path
    return None


def read(path):
    """All frames of a film, uint8 [T,H,W,3]; through ffmpeg, else OpenCV. A .npy file holds such an array."""
    if path.suffix == '.npy':
        return np.load(path)
    if shutil.which('ffmpeg'):
        probe = subprocess.run(['ffprobe', '-v', 'error', '-select_streams', 'v:0', '-show_entries', 'stream=width,height', '-of', 'csv=p=0', str(path)],
                               capture_output=True, text=True, check=True).stdout.strip().split(',')
        raw = subprocess.run(['ffmpeg', '-v', 'error', '-threads', '1', '-i', str(path), '-f', 'rawvideo', '-pix_fmt', 'rgb24', '-'], capture_output=True, check=True).stdout
        return np.frombuffer(raw, np.uint8).reshape(-1, int(probe[1]), int(probe[0]), 3)
    import cv2
    video, frames = cv2.VideoCapture(str(path)), []
    while True:
        good, frame = video.read()
        if not good:
            break
        frames.append(frame[:, :, ::-1])
    return np.stack(frames)
