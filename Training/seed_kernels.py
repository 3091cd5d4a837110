"""Gives two attention heads a sharp same-place kernel (any time): python seed_kernels.py in.pt out.pt

Keeping a still background, or carrying the first image through the film, means looking at the same place in other
frames. With RoPE that is a constant vector in the fast height and width pairs of query and key.
"""
import sys

import torch


def seed(state, blocks=(1, 3), head=1, logits=(6., 3.6, 2.4)):
    for b in blocks:
        for name in ('q', 'k'):
            bias = state[f'blocks.{b}.self_attn.{name}.bias'].clone()
            part = bias[head * 128:(head + 1) * 128]
            for first in (22, 43):
                for j, a in enumerate(logits):
                    part[2 * (first + j)] += (a * 128 ** .5) ** .5
            state[f'blocks.{b}.self_attn.{name}.bias'] = bias
    return state


if __name__ == '__main__':
    saved = [torch.load(p)['net'] for p in sys.argv[1:-1]]
    torch.save({'net': seed({k: sum(s[k] for s in saved) / len(saved) for k in saved[0]})}, sys.argv[-1])
