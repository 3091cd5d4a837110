"""Making films with the Swift engine, many at once, and reading them."""
from concurrent.futures import ThreadPoolExecutor
import json
import os
from pathlib import Path
import shutil
import subprocess
import threading
import time

import numpy as np


def configuration(folder, models, threads, backend='cpu'):
    """A service configuration of its own below `folder`."""
    for name in ('inbox', 'outbox', 'rules', 'state'):
        (folder / name).mkdir(parents=True, exist_ok=True)
    path = folder / 'dropreel.toml'
    path.write_text(f'root = "."\n[models]\ndirectories = ["{Path(models).resolve()}"]\n[engine]\nbackend = "{backend}"\nthreads = {threads}\n')
    return path


def make(jobs, program, models, folder, processes, threads, limit=None, backend='cpu'):
    """Runs `dropreel generate` for every job without a film; a job has id, prompt, image (or None) and settings.
    Returns {id: error} of those that failed. Stops starting new ones after `limit` seconds."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    config = configuration(folder / 'service', models, threads, backend)
    failed, begun, done, lock = {}, time.time(), [0], threading.Lock()
    environment = dict(os.environ, OPENBLAS_NUM_THREADS=str(threads), OMP_NUM_THREADS=str(threads))

    def run(job):
        film = folder / f"{job['id']}.mp4"
        if film.exists() and film.with_suffix('.json').exists():
            return
        if limit and time.time() - begun > limit:
            failed[job['id']] = 'not made: out of time'
            return
        part = folder / f"{job['id']}.part.mp4"
        command = [str(program), 'generate', job['prompt'], '--output', str(part), '--config', str(config)]
        for name, value in job['settings'].items():
            command += ['--set', f'{name}={value}']
        if job.get('image'):
            command += ['--image', str(job['image'])]
        result = subprocess.run(command, capture_output=True, text=True, env=environment)
        if result.returncode == 0:
            part.with_suffix('.json').replace(film.with_suffix('.json'))
            part.replace(film)
        else:
            failed[job['id']] = f'exit {result.returncode}: ' + result.stderr.strip()[-300:]
        with lock:
            done[0] += 1
            if done[0] % 25 == 0:
                print(f'{done[0]} films, {time.time() - begun:.0f} s', flush=True)

    with ThreadPoolExecutor(processes) as pool:
        list(pool.map(run, jobs))
    return failed


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
        raw = subprocess.run(['ffmpeg', '-v', 'error', '-i', str(path), '-f', 'rawvideo', '-pix_fmt', 'rgb24', '-'], capture_output=True, check=True).stdout
        return np.frombuffer(raw, np.uint8).reshape(-1, int(probe[1]), int(probe[0]), 3)
    import cv2
    video, frames = cv2.VideoCapture(str(path)), []
    while True:
        good, frame = video.read()
        if not good:
            break
        frames.append(frame[:, :, ::-1])
    return np.stack(frames)
