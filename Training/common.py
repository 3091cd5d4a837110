"""Shared by the training stages: wall-clock schedules, moving averages, checkpoints and curves."""
import copy
import csv
import math
import time
from pathlib import Path

import torch


class Clock:
    """Progress 0..1 through a budget of minutes; keeps counting over restarts."""

    def __init__(self, minutes, spent=0.):
        self.budget, self.start = minutes * 60, time.time() - spent

    @property
    def spent(self):
        return time.time() - self.start

    @property
    def progress(self):
        return self.spent / self.budget

    def rate(self, peak, step, warmup=100, floor=.03):
        p = min(self.progress, 1)
        return peak * min(1, (step + 1) / warmup) * (floor + (1 - floor) * .5 * (1 + math.cos(math.pi * p)))


class Average:
    """Exponential moving average of the weights, with a short memory at the start."""

    def __init__(self, net, decay):
        self.net, self.decay, self.n = copy.deepcopy(net).requires_grad_(False), decay, 0

    @torch.no_grad()
    def update(self, net):
        self.n += 1
        d = min(self.decay, self.n / (self.n + 9))
        for a, b in zip(self.net.parameters(), net.parameters()):
            a.lerp_(b, 1 - d)


class Log:
    def __init__(self, path, fields):
        self.path, self.fields = Path(path), fields
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if not self.path.exists():
            with open(self.path, 'w') as f:
                csv.writer(f).writerow(fields)

    def __call__(self, *values):
        values = [f'{v:.5g}' if isinstance(v, float) else v for v in values]
        with open(self.path, 'a') as f:
            csv.writer(f).writerow(values)
        print(' '.join(f'{k} {v}' for k, v in zip(self.fields, values)), flush=True)


def save(path, **state):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(state, path.with_suffix('.tmp'))
    path.with_suffix('.tmp').rename(path)


class Muon(torch.optim.Optimizer):
    """Momentum orthogonalised by Newton-Schulz iterations, for matrices; equal shapes are processed together."""

    def __init__(self, params, lr, momentum=.95, weight_decay=.02, iterations=4):
        super().__init__(params, dict(lr=lr, momentum=momentum, weight_decay=weight_decay, iterations=iterations))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            shapes = {}
            for p in group['params']:
                if p.grad is not None:
                    shapes.setdefault(tuple(p.shape), []).append(p)
            for shape, params in shapes.items():
                updates = []
                for p in params:
                    m = self.state[p].setdefault('momentum', torch.zeros_like(p))
                    m.lerp_(p.grad, 1 - group['momentum'])
                    updates.append(p.grad.lerp(m, group['momentum']))
                x = torch.stack(updates)
                if shape[0] > shape[1]:
                    x = x.transpose(1, 2)
                x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
                for _ in range(group['iterations']):
                    a = x @ x.transpose(1, 2)
                    b = torch.baddbmm(a, a, a, beta=-4.7750, alpha=2.0315)
                    x = torch.baddbmm(x, b, x, beta=3.4445)
                if shape[0] > shape[1]:
                    x = x.transpose(1, 2)
                scale = .2 * max(shape) ** .5
                for p, u in zip(params, x):
                    p.mul_(1 - group['lr'] * group['weight_decay']).add_(u, alpha=-group['lr'] * scale)
