"""Compares models.py with golden tensors: python check_reference.py <reference folder>"""
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

from models import DiT, T5Encoder, VAE


def load(path):
    return {k: v.float() if v.is_floating_point() else v for k, v in load_file(path).items()}


def report(name, got, want, limit):
    error = ((got - want).norm() / want.norm()).item()
    print(f'{name:28s} {error:.2e}  {"ok" if error < limit else "DIFFERS"}')
    return error < limit


def main(root):
    ok = []
    for kind in ('t2v', 'i2v'):
        weights = load(root / f'dit/{kind}_weights.safetensors')
        size = dict(in_dim=16, dim=256, ffn=384, heads=2) if kind == 't2v' else dict(in_dim=36, dim=128, ffn=320, heads=1)
        net = DiT(layers=2, text_dim=64, sla=False, **size)
        net.load_state_dict(weights)
        for path in sorted((root / 'dit').glob(f'{kind}_[a-d].safetensors')):
            case = load(path)
            x = torch.cat([case['x'], case['y']], 1) if 'y' in case else case['x']
            text = case['crossattn_emb']
            ok.append(report(f'dit/{path.stem}', net(x, case['t'], text), case['expected'], 5e-5))
            length = (text.abs().sum(-1) > 0).sum(-1)
            got = net(x, case['t'], text[:, :int(length.max())], length)
            ok.append(report(f'dit/{path.stem} short text', got, case['expected'], 5e-5))
        net = DiT(layers=2, text_dim=64, **size)
        net.load_state_dict(weights | load(root / f'dit_sla/{kind}_proj_l.safetensors'))
        case = load(root / f'dit_sla/{kind}.safetensors')
        x = torch.cat([case['x'], case['y']], 1) if 'y' in case else case['x']
        if kind == 'i2v':
            forward = net.blocks[0].self_attn.attn_op.local_attn.__class__.forward
            for block in net.blocks:
                op = block.self_attn.attn_op.local_attn
                op.forward = lambda *args, op=op: forward(op, *args, blkq=64, blkk=128)
        got = net(x, case['t'], case['crossattn_emb'], topk=0.15 if kind == 't2v' else 0.3)
        ok.append(report(f'dit_sla/{kind}', got, case['expected'], 1e-4))
    vae = VAE(16)
    vae.load_state_dict(load(root / 'vae/vae_weights.safetensors'))
    for path in sorted((root / 'vae').glob('*_t*.safetensors')):
        case = load(path)
        if 'latent' in case:
            got = vae.decode(case['latent'])
        elif 'video' in case:
            got = vae.encode(case['video'])
        elif 'image' in case:
            frames = 1 + 4 * (case['expected'].shape[2] - 1)
            video = torch.zeros(*case['image'].shape[:2], frames, *case['image'].shape[3:])
            video[:, :, :1] = case['image']
            got = vae.encode(video)
        else:
            continue
        ok.append(report(f'vae/{path.stem}', got, case['expected'], 1e-4))
    t5 = T5Encoder(4352, 64, 16, 4, 3, 128)
    t5.load_state_dict(load(root / 'umt5/umt5_wan_names.safetensors'))
    for path in sorted((root / 'umt5').glob('*_*.safetensors')):
        case = load(path)
        if 'mask' in case:
            got = t5(case['ids'], case['mask'])
            ok.append(report(f'umt5/{path.stem}', got[:, :case['expected'].shape[1]], case['expected'], 2e-5))
    print(f'{sum(ok)} of {len(ok)} agree')
    return all(ok)


if __name__ == '__main__':
    with torch.no_grad():
        sys.exit(not main(Path(sys.argv[1])))
