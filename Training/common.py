"""Shared by the stages: processes and devices, wall-clock schedules, averages, the optimisers, checkpoints and logs."""
import copy
import csv
import math
import os
import time
from pathlib import Path

import torch
import torch.distributed as dist
import torch.nn as nn


class Group:
    """The processes of one stage, one for each GPU (RANK, WORLD_SIZE and MASTER_PORT in the environment; one without). They
    average their gradients at every step, or, where `apart` says so, their weights after so many steps alone: then nobody
    waits for another's new clips."""

    def __init__(self, threads=1, apart=0):
        self.apart = apart
        self.rank, self.size = int(os.environ.get('RANK', 0)), int(os.environ.get('WORLD_SIZE', 1))
        torch.set_num_threads(threads)
        if torch.cuda.is_available():
            local = self.rank if torch.cuda.device_count() >= self.size else 0
            self.device = torch.device('cuda', local)
            torch.cuda.set_device(self.device)
            torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = True
        else:
            self.device = torch.device('cpu')
        self.cuda = self.device.type == 'cuda'
        if self.size > 1:
            os.environ.setdefault('MASTER_ADDR', '127.0.0.1')
            dist.init_process_group('nccl' if self.cuda else 'gloo', rank=self.rank, world_size=self.size)

    @property
    def main(self):
        return self.rank == 0

    def average(self, tensors):
        """The tensors' means over the processes, in place and in one message."""
        if self.size == 1:
            return
        flat = torch.cat([t.reshape(-1) for t in tensors])
        dist.all_reduce(flat)
        flat /= self.size
        for t, part in zip(tensors, flat.split([t.numel() for t in tensors])):
            t.copy_(part.view_as(t))

    def meet(self, step, *nets):
        """The means of the nets' weights, where the processes go apart and so many steps are over."""
        if self.apart and step % self.apart == 0:
            self.average([p.data for net in nets for p in net.parameters()])

    def same(self, net):
        """Gives all processes the weights of the first."""
        if self.size > 1:
            for t in net.state_dict().values():
                dist.broadcast(t, 0)

    def agree(self, value):
        """The first process's number, for all."""
        if self.size == 1:
            return value
        t = torch.tensor([float(value)], device=self.device)
        dist.broadcast(t, 0)
        return t.item()

    def autocast(self):
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.cuda)

    def close(self):
        if self.size > 1:
            dist.destroy_process_group()


class Clock:
    """Progress 0..1 through a budget of seconds; keeps counting over restarts. All processes see the first one's."""

    def __init__(self, seconds, spent=0., group=None, every=8):
        self.budget, self.start, self.group = seconds, time.time() - spent, group
        self.every, self.calls, self.seen = group.apart if group and group.apart else every, 0, 0.

    @property
    def spent(self):
        return time.time() - self.start

    def progress(self):
        self.calls += 1
        if self.group is None or self.group.size == 1:
            return self.spent / self.budget
        if self.calls % self.every == 1 % self.every:
            self.seen = self.group.agree(self.spent / self.budget)
        return self.seen


def budget(args, less=0.):
    """Seconds a stage has: what it was given, but not beyond --until."""
    return max(1., min(args.seconds - less, (args.until or float('inf')) - time.time()))


def rate(progress, step, warmup=50, flat=.4, floor=.02):
    """Share of the peak learning rate: warm-up, flat for the first part of the budget, then a cosine."""
    p = max(0., (min(progress, 1) - flat) / (1 - flat))
    return min(1, (step + 1) / warmup) * (floor + (1 - floor) * .5 * (1 + math.cos(math.pi * p)))


class Average:
    """Exponential moving average of the weights, with a short memory at the start."""

    def __init__(self, net, decay):
        self.net, self.decay, self.n = copy.deepcopy(net).requires_grad_(False), decay, 0
        self.pairs = list(zip(self.net.parameters(), net.parameters()))

    @torch.no_grad()
    def update(self):
        self.n += 1
        d = min(self.decay, self.n / (self.n + 9))
        torch._foreach_lerp_([a for a, _ in self.pairs], [b for _, b in self.pairs], 1 - d)


class Log:
    """Rows of numbers to a CSV file and to the output; further starts append."""

    def __init__(self, path, fields, silent=False):
        self.path, self.fields, self.silent = Path(path), fields, silent
        if not silent:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if not self.path.exists():
                with open(self.path, 'w') as f:
                    csv.writer(f).writerow(fields)

    def __call__(self, *values):
        if self.silent:
            return
        values = [f'{v:.5g}' if isinstance(v, float) else v for v in values]
        with open(self.path, 'a') as f:
            csv.writer(f).writerow(values)
        print(self.path.stem, ' '.join(f'{k} {v}' for k, v in zip(self.fields, values)), flush=True)


def save(path, **state):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(state, path.with_suffix('.tmp'))
    path.with_suffix('.tmp').rename(path)


def weights(net):
    """State of a net for a file: bfloat16 on the CPU."""
    return {k: v.detach().to('cpu', torch.bfloat16) for k, v in net.state_dict().items()}


def load_weights(net, state):
    net.load_state_dict({k: v.float() for k, v in state.items()})
    return net


class Muon(torch.optim.Optimizer):
    """Momentum orthogonalised by Newton-Schulz iterations, for matrices; equal shapes are processed together."""

    def __init__(self, params, lr, momentum=.95, weight_decay=.02, iterations=5):
        super().__init__(params, dict(lr=lr, momentum=momentum, weight_decay=weight_decay, iterations=iterations))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            shapes = {}
            for p in group['params']:
                if p.grad is not None:
                    shapes.setdefault(tuple(p.shape), []).append(p)
            for shape, params in shapes.items():
                moments = [self.state[p].setdefault('momentum', torch.zeros_like(p)) for p in params]
                grads = [p.grad for p in params]
                torch._foreach_lerp_(moments, grads, 1 - group['momentum'])
                x = torch.stack(torch._foreach_lerp(grads, moments, group['momentum']))
                tall = shape[0] > shape[1]
                x = x.transpose(1, 2) if tall else x
                x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
                x = x.bfloat16() if x.is_cuda else x
                for _ in range(group['iterations']):
                    a = x @ x.transpose(1, 2)
                    b = torch.baddbmm(a, a, a, beta=-4.7750, alpha=2.0315)
                    x = torch.baddbmm(x, b, x, beta=3.4445)
                x = (x.transpose(1, 2) if tall else x).float()
                torch._foreach_mul_(params, 1 - group['lr'] * group['weight_decay'])
                torch._foreach_add_(params, list(x.unbind(0)), alpha=-group['lr'] * .2 * max(shape) ** .5)


class Optimiser:
    """Muon for the matrices inside blocks, AdamW for everything else; gradients averaged over the group and clipped,
    steps with a gradient that is not finite left out."""

    def __init__(self, nets, lr, group, clip=1., decay=.02):
        named = [(n, p) for net in nets for n, p in net.named_parameters() if p.requires_grad]
        inner = [p for n, p in named if 'blocks.' in n and p.dim() == 2 and 'embedding' not in n]
        chosen = {id(p) for p in inner}
        outer = [p for _, p in named if id(p) not in chosen]
        self.params, self.group, self.clip, self.lr, self.skipped = inner + outer, group, clip, lr, 0
        self.muon = Muon(inner, lr, weight_decay=decay) if inner else None
        self.adam = torch.optim.AdamW(outer, lr / 2, betas=(.9, .98), weight_decay=0., fused=group.cuda)

    def step(self, share):
        for opt, factor in ((self.muon, 1.), (self.adam, .5)):
            if opt is not None:
                for g in opt.param_groups:
                    g['lr'] = self.lr * share * factor
        grads = [p.grad for p in self.params if p.grad is not None]
        if not self.group.apart:
            self.group.average(grads)
        norm = nn.utils.get_total_norm(grads)
        scale = torch.where(norm.isfinite(), (self.clip / (norm + 1e-6)).clamp(max=1.), 0.)
        for g in grads if not norm.isfinite() else ():
            g.nan_to_num_(0., 0., 0.)
        torch._foreach_mul_(grads, scale)
        if self.muon is not None:
            self.muon.step()
        self.adam.step()
        for p in self.params:
            p.grad = None
        return norm
