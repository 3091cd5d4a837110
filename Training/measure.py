"""How long a step of every kind takes on this GPU, and whether what the stages need works: python measure.py --work W

Prints a line each as soon as it is known. Uses untrained nets.
"""
import argparse
from pathlib import Path
import time

import torch

from common import Group, Optimiser
import data
import nets
import train_vae
import world
import numpy as np


def main(args):
    group = Group()
    device, start = group.device, time.time()
    wait = torch.cuda.synchronize if group.cuda else lambda: None

    def clock(name, call, times=3, per=1, unit=''):
        try:
            call()
            wait()
            begin = time.time()
            for _ in range(times):
                call()
            wait()
            print(f'{name}: {1000 * (time.time() - begin) / times / per:.2f} ms{unit}  (at {time.time() - start:.0f} s)', flush=True)
        except Exception as error:
            print(f'{name}: FAILED {type(error).__name__}: {str(error)[:600]}', flush=True)

    print('torch', torch.__version__, torch.cuda.get_device_name() if group.cuda else 'CPU', flush=True)
    rng, size = np.random.default_rng(0), (32, 64) if args.tiny else (144, 256)
    count, latents, tokens = (2, 3, 200) if args.tiny else (16, 21, 130000)
    scenes, stills = world.sample_scenes(rng, count), world.sample_stills(rng, count)
    frames, total = range(0, 4 * latents - 3, 4), 4 * latents - 3
    clock('render', lambda: data.draw_clips(scenes, 'scene', frames, total, *size, device, None), 3, count, ' a clip')
    pictures = data.Pictures(None, device, 0)
    clock('render stills', lambda: data.draw_clips(stills, 'still', frames, total, *size, device, pictures), 2, count, ' a clip')
    vae = train_vae.build().to(device)
    clips = torch.rand(count, latents, 3, *size, device=device)
    clock('encode', lambda: data.encode_frames(vae, clips), 3, count, ' a clip')
    for mode, compile in (('eager', False), ('compiled', True)):
        net = nets.compiled(nets.build('t2v').to(device), compile)
        optimiser = Optimiser([net], 1e-3, group)
        for topk in (None, .1):
            for n in (latents, 7) if topk is None and compile else (latents,):
                b = max(1, round(tokens / (n * size[0] * size[1] // 256)))
                x, t = torch.randn(b, 16, n, size[0] // 8, size[1] // 8, device=device), torch.rand(b, device=device)
                rows, length = torch.randn(b, 47, nets.SIZE['text_dim'], device=device), torch.full((b,), 40, device=device)

                def step():
                    with group.autocast():
                        net(x, t * 1000, rows, length, topk=topk).float().square().mean().backward()
                    optimiser.step(1.)

                @torch.no_grad()
                def answer():
                    with group.autocast():
                        net(x, t * 1000, rows, length, topk=topk)

                name = f'{mode} {"dense" if topk is None else "sparse"} {n} frames x {b}'
                clock(name + ': step', step, 5)
                clock(name + ': answer', answer, 5)
                if group.cuda:
                    print(f'  memory {torch.cuda.max_memory_allocated() / 2 ** 30:.1f} GiB', flush=True)


if __name__ == '__main__':
    p = argparse.ArgumentParser()
    p.add_argument('--work', type=Path)
    p.add_argument('--tiny', action='store_true')
    main(p.parse_args())
