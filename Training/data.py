"""Clips as latents, drawn and encoded on the training GPU: a bank that is filled at the start and refreshed for ever."""
import multiprocessing
import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from text import ROWS, Tokenizer, padded
import world
from world.draw import Canvas
from world.motion import Pose, set_camera

VARIANTS = 5  # captions of one clip


@dataclass(frozen=True)
class Bucket:
    """Clips of one size: pixels, latent frames, share of the training samples."""
    height: int
    width: int
    latents: int
    share: float

    @property
    def frames(self):
        return 4 * self.latents - 3

    @property
    def tokens(self):
        return self.latents * (self.height // 16) * (self.width // 16)


#: Mostly the default clip; other shapes of the same area, other lengths.
BUCKETS = (Bucket(144, 256, 21, .58), Bucket(256, 144, 21, .06), Bucket(160, 224, 21, .05), Bucket(224, 160, 21, .04),
           Bucket(192, 192, 21, .06), Bucket(144, 256, 9, .07), Bucket(144, 256, 13, .03), Bucket(144, 256, 31, .04),
           Bucket(144, 256, 41, .03), Bucket(256, 144, 9, .02), Bucket(192, 192, 9, .02))
#: The same, with more of what few keys are hard on: upright and short films.
MIXED = tuple(Bucket(b.height, b.width, b.latents, share) for b, share in zip(BUCKETS, (.36, .12, .06, .09, .07, .16, .03, .03, .03, .03, .02)))
TINY = (Bucket(32, 64, 3, .7), Bucket(48, 32, 5, .3))

_tokenizer = None


def _start(folder):
    global _tokenizer
    os.environ['OMP_NUM_THREADS'] = '1'
    torch.set_num_threads(1)
    _tokenizer = Tokenizer(folder)


def _write(job):
    """In a worker: scenes or stills, and the ids of a few captions of each."""
    seed, kind, count, more = job
    rng = np.random.default_rng(seed)
    items = world.sample_stills(rng, count) if kind == 'still' else world.sample_scenes(rng, count, **more)
    ids, lengths = np.zeros((count, VARIANTS, ROWS), np.int32), np.zeros((count, VARIANTS), np.int64)
    for i, item in enumerate(items):
        for j in range(VARIANTS):
            row = _tokenizer.ids(world.caption(item, rng))
            ids[i, j, :len(row)], lengths[i, j] = row, len(row)
    return items, ids, lengths


class Writers:
    """Worker processes that draw attributes and write captions."""

    def __init__(self, tokenizer, workers):
        if workers:
            context = multiprocessing.get_context('spawn')
            hidden = os.environ.get('CUDA_VISIBLE_DEVICES')
            os.environ['CUDA_VISIBLE_DEVICES'] = ''
            self.pool = context.Pool(workers, _start, (tokenizer,))
            os.environ.pop('CUDA_VISIBLE_DEVICES')
            if hidden is not None:
                os.environ['CUDA_VISIBLE_DEVICES'] = hidden
        else:
            self.pool = None
            _start(tokenizer)

    def ask(self, job):
        return self.pool.apply_async(_write, (job,)) if self.pool else job

    def answer(self, asked):
        return asked.get(timeout=120) if self.pool else _write(asked)

    def close(self):
        if self.pool:
            self.pool.terminate()


class Pictures:
    """Photographs and drawn textures on the device, for stills."""

    def __init__(self, folder, device, seed):
        self.photos = [p.to(device) for p in world.pictures.load(folder)] if folder else []
        self.device, self.rng = device, np.random.default_rng([seed, 77])

    def __call__(self, count, height, width, **options):
        """[count,3,h,w] in 0..1, somewhat larger than the frame."""
        return world.pictures.batch(self.photos, self.rng, count, height, width, self.device, **options)


def draw_clips(items, kind, frames, total, height, width, device, pictures):
    """[B,T,3,H,W] in 0..1, rounded to eight bits as a decoded picture is."""
    if kind == 'still':
        clips = world.render_stills(items, pictures(len(items), height, width), frames, total, height, width, device)
    else:
        clips = world.render(items, frames, total, height, width, device, chunk=max(1, len(items)))
    return (clips.clamp(0, 1) * 255).round() / 255


@torch.no_grad()
def things_map(items, kind, frames, total, height, width, device, gain):
    """Weights [B,T,h,w] of latent pixels in the loss: 1, and up to 1 + gain at a scene's thing, which is small but what
    a caption speaks of most."""
    shape = (len(items), len(frames), height // 8, width // 8)
    if kind == 'still':
        return torch.ones(shape, device=device)
    canvas = Canvas([s.jitter for s in items], frames, total, *shape[2:], torch.device(device), torch.float32)
    set_camera(canvas, [s.camera for s in items])
    pose = Pose(canvas, items)
    distance = ((canvas.x0 - pose.x) ** 2 + (canvas.y0 - pose.y) ** 2) / (31 * pose.size) ** 2
    return (1 + gain * torch.exp(-distance ** 2))[:, :, 0].expand(shape)


@torch.no_grad()
def cameras(items, kind, frames, total, height, width, device):
    """Pan, tilt and zoom of a scene's camera, [B,T,3] in the renderer's units; of stills zeros."""
    if kind == 'still':
        return torch.zeros(len(items), len(frames), 3, device=device)
    canvas = Canvas([s.jitter for s in items], frames, total, height, width, torch.device(device), torch.float32)
    set_camera(canvas, [s.camera for s in items])
    flat = lambda v: (v + 0 * canvas.frame)[:, :, 0, 0, 0]
    return torch.stack([flat(canvas.pan), flat(canvas.tilt), flat(canvas.zoom)], -1)


@torch.no_grad()
def encode_frames(vae, clips, chunk=700):
    """Latents [B,T,16,h,w] of clips that hold every fourth frame only: the encoder has no temporal taps."""
    b, t = clips.shape[:2]
    flat = clips.flatten(0, 1) * 2 - 1
    out = [vae.encode(part[:, :, None])[:, :, 0] for part in flat.split(chunk)]
    return torch.cat(out).unflatten(0, (b, t))


class Bank:
    """Latents of clips with their captions, in buckets; all processes draw from the same bucket at the same step."""

    def __init__(self, group, vae, tokenizer, stills, capacity, buckets=BUCKETS, photos=None, seed=0, chunk=16,
                 workers=4, gain=5., hard=0., spin=None, over=0.):
        self.more, self.group, self.vae, self.device, self.chunk = {'hard': hard, 'spin': spin, 'over': over}, group, vae, group.device, chunk
        self.buckets, self.stills, self.gain = buckets, stills, gain
        self.shares = np.array([b.share for b in buckets]) / sum(b.share for b in buckets)
        self.capacity = [max(chunk, int(capacity * s) // chunk * chunk) for s in self.shares]
        self.store, self.filled, self.next = {}, [0] * len(buckets), [0] * len(buckets)
        for i, b in enumerate(buckets):
            n = self.capacity[i]
            self.store[i] = (
                torch.zeros(n, b.latents, 16, b.height // 8, b.width // 8, dtype=torch.bfloat16, device=self.device),
                torch.zeros(n, VARIANTS, ROWS, dtype=torch.int32, device=self.device),
                torch.zeros(n, VARIANTS, dtype=torch.long, device=self.device),
                torch.zeros(n, b.latents, b.height // 8, b.width // 8, dtype=torch.bfloat16, device=self.device),
                torch.zeros(n, b.latents, 3, device=self.device))
        self.rng = np.random.default_rng([seed, group.rank, 1])
        self.common = np.random.default_rng([seed, 2])
        self.seed, self.jobs, self.asked = seed, 0, []
        self.pictures = Pictures(photos, self.device, seed * 100 + group.rank)
        self.writers, self.ahead = Writers(tokenizer, workers), 3 * max(1, workers)
        self.cost, self.spent, self.start, self.made = None, 0., None, 0
        self.grey, self.moves = {}, None

    def _ask(self):
        while len(self.asked) < self.ahead:
            lack = [f / c for f, c in zip(self.filled, self.capacity)]
            if min(lack) < 1:
                waiting = [a[0] for a in self.asked]
                lack = [(f + self.chunk * waiting.count(i)) / c for i, (f, c) in enumerate(zip(self.filled, self.capacity))]
                i = int(np.argmin(lack))
            else:
                i = int(self.rng.choice(len(self.buckets), p=self.shares))
            kind = 'still' if self.rng.random() < self.stills else 'scene'
            seed = [self.seed, self.group.rank, self.jobs]
            self.jobs += 1
            self.asked.append((i, kind, self.writers.ask((seed, kind, self.chunk, self.more))))

    @torch.no_grad()
    def add(self):
        """One chunk of new clips takes the place of the oldest."""
        self._ask()
        i, kind, asked = self.asked.pop(0)
        items, ids, lengths = self.writers.answer(asked)
        self._ask()
        b = self.buckets[i]
        size = (range(0, b.frames, 4), b.frames, b.height, b.width, self.device)
        clips = draw_clips(items, kind, *size, self.pictures)
        z = encode_frames(self.vae, clips)
        at = slice(self.next[i], self.next[i] + len(items))
        latents, all_ids, all_lengths, maps, moves = self.store[i]
        moves[at] = cameras(items, kind, *size)
        maps[at] = things_map(items, kind, *size, self.gain).to(maps.dtype)
        latents[at] = z.to(latents.dtype)
        all_ids[at], all_lengths[at] = torch.from_numpy(ids).to(self.device), torch.from_numpy(lengths).to(self.device)
        self.next[i] = (self.next[i] + self.chunk) % self.capacity[i]
        self.filled[i] = min(self.capacity[i], self.filled[i] + self.chunk)
        self.made += len(items)

    def fill(self, seconds, least=1):
        """Until the bank is full or the time is over, at least `least` chunks of every bucket."""
        self.add()
        start, chunks = time.time(), 0
        while min(self.filled) < least * self.chunk or (
                time.time() - start < seconds and any(f < c for f, c in zip(self.filled, self.capacity))):
            self.add()
            chunks += 1
            if self.group.cuda:
                torch.cuda.synchronize()
        self.cost = (time.time() - start) / chunks
        self.start, self.spent = time.time(), 0.
        return self.cost / self.chunk

    def refresh(self, share):
        """New clips for this share of the time."""
        if self.spent < share * (time.time() - self.start):
            self.add()
            self.spent += self.cost

    def draw(self, tokens, bucket=None, frames=None):
        """A batch of about `tokens` tokens from one bucket. frames: so many latent frames only, with the first and last.

        `moves` [B,T,3] is then what the cameras of these clips do. Returns latents [B,16,T,h,w], ids [B,N], lengths [B], latent times, the bucket, first frames [B,16,h,w] and
        weights for the loss [B,1,T,h,w] with mean one."""
        i = int(self.common.choice(len(self.buckets), p=self.shares)) if bucket is None else bucket
        b = self.buckets[i]
        picked = list(range(b.latents))
        if frames is not None and frames < b.latents:
            inner = self.common.choice(np.arange(1, b.latents - 1), frames - 2, replace=False)
            picked = [0, *sorted(inner.tolist()), b.latents - 1]
        count = max(1, round(tokens / (len(picked) * b.tokens // b.latents)))
        which = torch.from_numpy(self.rng.integers(self.filled[i], size=count)).to(self.device)
        variant = torch.from_numpy(self.rng.integers(VARIANTS, size=count)).to(self.device)
        latents, ids, lengths, maps, moves = self.store[i]
        ids, lengths = ids[which, variant], lengths[which, variant]
        at = (which[:, None], torch.tensor(picked, device=self.device)[None])
        self.moves = moves[at]
        z, stress = latents[at].float().transpose(1, 2), maps[at].float()[:, None]
        return z, ids[:, :padded(int(lengths.max()))], lengths, picked, b, latents[which, 0].float(), stress / stress.mean()

    @torch.no_grad()
    def conditioning(self, first, picked):
        return conditioning(self.vae, first, picked, self.grey)

    def close(self):
        self.writers.close()


@torch.no_grad()
def conditioning(vae, first, picked, grey):
    """[B,20,T,h,w] of image to video: mask (ones in latent frame 0), latents of the picture followed by grey frames."""
    b, _, h, w = first.shape
    if (h, w) not in grey:
        grey[h, w] = vae.encode(torch.zeros(1, 3, 1, 8 * h, 8 * w, device=first.device))[0, :, 0]
    y = torch.zeros(b, 20, len(picked), h, w, device=first.device)
    y[:, 4:] = grey[h, w][None, :, None]
    for i, f in enumerate(picked):
        if f == 0:
            y[:, :4, i], y[:, 4:, i] = 1, first
    return y


def bank_of(args, group, vae, seed):
    """The bank that a stage's options ask for."""
    buckets = TINY if args.tiny else MIXED if args.mixed else BUCKETS
    return Bank(group, vae, args.work / 'tokenizer', args.stills if args.mode == 'i2v' else 0., args.bank, buckets, photographs(args.photos),
                seed, args.chunk, args.workers, args.gain, args.hard, args.spin, args.over)


def photographs(path):
    """The folder of training photographs, or None where there is none."""
    path = Path(path) if path else None
    return path if path and path.is_dir() else None
