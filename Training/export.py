"""Writes the service's model folder: python export.py --work W --out Models/miniature [--random]

Linears inside blocks.* are stored as int8 in 128 x 128 blocks (`int8_weight`, `scale`), everything else as bf16, norm
weights as float32. One file serves both noise levels of image to video unless W/ckpt has i2v_high.pt and i2v_low.pt.
"""
import argparse
import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file

from models import DiT, T5Encoder
from train_vae import build as build_vae
import train_text

SIZE = dict(dim=256, ffn=512, heads=2, layers=5, text_dim=128)
MANIFEST = {
    'name': 'Dropreel-Mini', 'version': '0.2',
    'modes': {'t2v': {'transformer': 't2v.safetensors'},
              'i2v': {'high_noise': 'i2v.safetensors', 'low_noise': 'i2v.safetensors'}},
    'vae': 'vae.safetensors', 'text_encoder': 'text_encoder.safetensors', 'tokenizer': 'tokenizer',
    'resolutions': {'144p': {'16:9': [256, 144], '9:16': [80, 144], '4:3': [192, 144], '3:4': [112, 144],
                             '1:1': [144, 144]}},
    'default_resolution': '144p', 'frames': {'default': 81, 'minimum': 33, 'maximum': 81}, 'fps': 16,
    'defaults': {'attention': 'sla', 'sla_topk': 0.5, 'steps': 4, 'sigma_max': {'t2v': 80, 'i2v': 200},
                 'boundary': 0.9, 'sampler': {'t2v': 'sde', 'i2v': 'sde'}},
}


def quantise(weight):
    """128 x 128 blocks: factor 128 / amax, round half to even, saturate; scale = amax / 128."""
    n, k = weight.shape
    bn, bk = -(-n // 128), -(-k // 128)
    padded = torch.zeros(bn * 128, bk * 128)
    padded[:n, :k] = weight.float()
    blocks = padded.view(bn, 128, bk, 128)
    amax = blocks.abs().amax((1, 3)).clamp(min=1e-8)
    q = (blocks * (128 / amax)[:, None, :, None]).round().clamp(-128, 127).to(torch.int8)
    return q.view(bn * 128, bk * 128)[:n, :k].contiguous(), amax / 128


def dit_tensors(net, int8=True):
    out = {}
    for name, p in net.state_dict().items():
        linear = name.startswith('blocks.') and p.dim() == 2 and 'proj_l' not in name
        if linear and int8:
            base = name.removesuffix('weight')
            out[base + 'int8_weight'], out[base + 'scale'] = quantise(p.bfloat16())
        elif 'norm' in name:
            out[name] = p.float().contiguous()
        else:
            out[name] = p.bfloat16().contiguous()
    return out


def dequantised(net):
    """The net with the exported weights (int8 rounded), for judging what is shipped."""
    state = {}
    for name, p in dit_tensors(net).items():
        if name.endswith('int8_weight'):
            continue
        state[name] = p.float()
    for name, p in net.state_dict().items():
        if name not in state:
            q, scale = quantise(p.bfloat16())
            big = scale.repeat_interleave(128, 0).repeat_interleave(128, 1)[:p.shape[0], :p.shape[1]]
            state[name] = q.float() * big
    for name in list(state):
        if name.endswith('.scale'):
            del state[name]
    net.load_state_dict(state)
    return net


def bf16(net):
    return {k: v.bfloat16().contiguous() for k, v in net.state_dict().items()}


def load_dit(path, in_dim):
    s = torch.load(path)
    net = DiT(in_dim=in_dim, **s.get('size', SIZE))
    net.load_state_dict(s['net'])
    return net


def main(args):
    out, ckpt = args.out, args.work / 'ckpt'
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    manifest = json.loads(json.dumps(MANIFEST))
    experts = ['i2v']
    if (ckpt / 'i2v_high.pt').exists() and (ckpt / 'i2v_low.pt').exists():
        experts = ['i2v_high', 'i2v_low']
        manifest['modes']['i2v'] = {'high_noise': 'i2v_high.safetensors', 'low_noise': 'i2v_low.safetensors'}
    for old in out.glob('*.safetensors'):
        old.unlink()
    for name in ('t2v', *experts):
        in_dim, path = 16 if name == 't2v' else 36, ckpt / f'{name}.pt'
        net = load_dit(path, in_dim) if path.exists() and not args.random else DiT(in_dim=in_dim, **SIZE)
        save_file(dit_tensors(net), out / f'{name}.safetensors')
    vae = build_vae()
    if not args.random:
        vae.load_state_dict(torch.load(ckpt / 'vae.pt')['net'])
    save_file(bf16(vae), out / 'vae.safetensors')
    shutil.copytree(args.work / 'tokenizer', out / 'tokenizer', dirs_exist_ok=True)
    pieces = train_text.Tokenizer(out / 'tokenizer').sp.get_piece_size()
    text = train_text.build(pieces)
    if not args.random:
        text.load_state_dict(torch.load(ckpt / 'text.pt')['net'])
    save_file(bf16(text), out / 'text_encoder.safetensors')
    (out / 'model.json').write_text(json.dumps(manifest, indent=2) + '\n')
    for path in sorted(out.rglob('*')):
        if path.is_file():
            print(f'{path.stat().st_size:9d} {path.relative_to(out)}')


if __name__ == '__main__':
    p = argparse.ArgumentParser()
    p.add_argument('--work', type=Path, required=True)
    p.add_argument('--out', type=Path, required=True)
    p.add_argument('--random', action='store_true')
    main(p.parse_args())
