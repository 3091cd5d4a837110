"""Sets the copying heads of image to video again: python calibrate.py --work W --name i2v (while it is not training)"""
import argparse
from pathlib import Path

import numpy as np
import torch

from initialise import calibrate
from models import DiT
from train_dit import SIZE, TIMES, Data, Texts, conditioning, grey_latent, timestep
from train_vae import build as build_vae
import world

if __name__ == '__main__':
    p = argparse.ArgumentParser()
    p.add_argument('--work', type=Path, required=True)
    p.add_argument('--name', default='i2v')
    args = p.parse_args()
    torch.set_num_threads(1), torch.manual_seed(0)
    vae = build_vae()
    vae.load_state_dict(torch.load(args.work / 'ckpt/vae_image.pt')['net'])
    grey, texts, rng, inputs = grey_latent(vae), Texts(args.work), np.random.default_rng(3), []
    data = Data(args.work, ['scene', 'still'], 1.)
    for t in TIMES[200]:
        z, a, *_ = data.draw(rng, 'still', range(21))
        x = t * torch.randn(1, *z.shape) + (1 - t) * z * (t < .98)
        inputs.append((torch.cat([x, conditioning(z[:, 0], grey, range(21))[None]], 1), timestep(torch.tensor([t])), *texts([world.caption(a, rng)])))
    path = args.work / f'ckpt/{args.name}_state.pt'
    state, net = torch.load(path, weights_only=False), DiT(in_dim=36, **SIZE)
    for key in ('net', 'ema'):
        net.load_state_dict(state[key])
        calibrate(net, lambda: [net(*i, topk=.25) for i in inputs])
        state[key] = {k: v.clone() for k, v in net.state_dict().items()}
    torch.save(state, path)
    torch.save({'net': state['ema'], 'size': SIZE, 'step': state['step']}, args.work / f'ckpt/{args.name}.pt')
