"""The text encoder's start: it learns to tell a caption's attributes from every single token, so that cross attention
finds them anywhere. Afterwards the text-to-video teacher trains it further (train_teacher.py).

  python train_text.py --work W --seconds 60

The tokenizer is trained first where W/tokenizer has none (CPU).
"""
import argparse
import multiprocessing
from pathlib import Path

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

from common import Clock, Group, Log, Optimiser, budget, rate, save, weights
import text
import world


def _start(folder):
    global _tokenizer
    torch.set_num_threads(1)
    _tokenizer = text.Tokenizer(folder)


def _batch(job):
    seed, count = job
    rng = np.random.default_rng(seed)
    items = [text.sample(rng) for _ in range(count)]
    rows = [_tokenizer.ids(world.caption(item, rng)) for item in items]
    n = text.padded(max(map(len, rows)))
    return (np.array([r + [0] * (n - len(r)) for r in rows], np.int32), np.array([len(r) for r in rows]),
            np.array([text.labels(item) for item in items]))


def main(args):
    group, folder = Group(), args.work / 'tokenizer'
    torch.manual_seed(0)
    if not (folder / 'spiece.model').exists():
        text.train_tokenizer(folder)
    pieces = len(text.Tokenizer(folder))
    net = text.build(pieces).to(group.device)
    heads = nn.ModuleDict({k: nn.Linear(text.SIZE['dim'], 1 + len(v)) for k, v in text.KEYS.items()}).to(group.device)
    optimiser = Optimiser([net, heads], args.rate, group)
    log = Log(args.work / 'logs/text.csv', ['step', 'seconds', 'loss', 'token_accuracy', 'pooled_accuracy', *text.KEYS])
    pool = multiprocessing.get_context('spawn').Pool(args.workers, _start, (folder,))
    batches = pool.imap(_batch, (((1, i), args.batch) for i in range(args.most)), chunksize=1)
    clock, step = Clock(budget(args)), 0
    while (progress := clock.progress()) < 1 and step < args.most:
        ids, length, want = (torch.from_numpy(a).to(group.device) for a in next(batches))
        if step == 0:
            clock = Clock(budget(args))  # the workers have started
        h = text.encode(net, ids, length)
        mask = torch.arange(ids.shape[1], device=group.device)[None] < length[:, None]
        pooled, loss, right, pooled_right = h.sum(1) / length[:, None], 0., [], []
        for i, key in enumerate(text.KEYS):
            token, whole = heads[key](h[mask]), heads[key](pooled)
            each = want[:, i, None].expand(-1, h.shape[1])[mask]
            loss = loss + .5 * F.cross_entropy(token, each) + F.cross_entropy(whole, want[:, i])
            right.append((token.argmax(-1) == each).float().mean())
            pooled_right.append((whole.argmax(-1) == want[:, i]).float().mean())
        loss.backward()
        optimiser.step(rate(progress, step))
        step += 1
        if step % args.every == 0:
            whole = torch.stack(pooled_right)
            log(step, int(clock.spent), loss.item(), torch.stack(right).mean().item(), whole.mean().item(), *whole.tolist())
            save(args.work / 'ckpt/text.pt', net=weights(net), pieces=pieces)
    pool.terminate()
    save(args.work / 'ckpt/text.pt', net=weights(net), pieces=pieces)


if __name__ == '__main__':
    p = argparse.ArgumentParser()
    p.add_argument('--work', type=Path, required=True)
    p.add_argument('--seconds', type=float, default=60)
    p.add_argument('--until', type=float, help='stop at this time (seconds since 1970)')
    p.add_argument('--rate', type=float, default=3e-3)
    p.add_argument('--batch', type=int, default=256)
    p.add_argument('--most', type=int, default=100000)
    p.add_argument('--workers', type=int, default=8)
    p.add_argument('--every', type=int, default=50)
    main(p.parse_args())
