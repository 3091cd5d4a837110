"""Writes the service's model folder: python export.py --work W --out Models/miniature [--random]

Linears inside blocks.* are stored as int8 in 128 x 128 blocks (`int8_weight`, `scale`), everything else as bf16, norm
weights as float32. Taken from W/ckpt: t2v_match or t2v_few, i2v_high_few, i2v_low_few, vae, text; where a distilled net is missing, the
sparse one or the teacher (--names).
"""
import argparse
import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file

import nets
import text
import train_vae

VERSION = '0.7'
MANIFEST = {
    'name': 'Dropreel-Mini', 'version': VERSION,
    'modes': {'t2v': {'transformer': 't2v.safetensors'},
              'i2v': {'high_noise': 'i2v_high.safetensors', 'low_noise': 'i2v_low.safetensors'}},
    'vae': 'vae.safetensors', 'text_encoder': 'text_encoder.safetensors', 'tokenizer': 'tokenizer',
    'resolutions': {'144p': {'16:9': [256, 144], '9:16': [144, 256], '4:3': [224, 160], '3:4': [160, 224],
                             '1:1': [192, 192]}},
    'default_resolution': '144p', 'frames': {'default': 81, 'minimum': 33, 'maximum': 161}, 'fps': 16,
    'defaults': {'attention': 'sla', 'sla_topk': {'t2v': 0.1, 'i2v': 0.5}, 'sla_topk_other': {'t2v': 0.5}, 'steps': 4,
                 'sigma_max': {'t2v': 80, 'i2v': 200},
                 'boundary': 0.9, 'exact_first_frame': True, 'sampler': {'t2v': 'sde', 'i2v': 'sde'}},
}
SOURCES = {'t2v': ('t2v_match', 't2v_few', 't2v_sla', 't2v'), 'i2v_high': ('i2v_high_few', 'i2v_sla', 'i2v'),
           'i2v_low': ('i2v_low_few', 'i2v_sla', 'i2v')}


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


def bf16(net):
    return {k: v.bfloat16().contiguous() for k, v in net.state_dict().items()}


def source(ckpt, name):
    """The furthest stage of a net that is there."""
    for candidate in SOURCES[name]:
        if (ckpt / f'{candidate}.pt').exists():
            return candidate
    raise FileNotFoundError(f'{ckpt}: none of {", ".join(SOURCES[name])}')


def main(args):
    out, ckpt = args.out, args.work / 'ckpt'
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    manifest = json.loads(json.dumps(MANIFEST))
    manifest['defaults']['sampler']['i2v'] = args.i2v_sampler
    for old in out.glob('*.safetensors'):
        old.unlink()
    made = {}
    for name in SOURCES:
        mode = name[:3]
        if args.random:
            net, made[name] = nets.build(mode), 'random'
        else:
            made[name] = source(ckpt, name)
            net = nets.load(ckpt / f'{made[name]}.pt', mode)
        save_file(dit_tensors(net, not args.bf16), out / f'{name}.safetensors', {'from': made[name]})
    shutil.copytree(args.work / 'tokenizer', out / 'tokenizer', dirs_exist_ok=True)
    vae = train_vae.build() if args.random else train_vae.load(args.work)
    reader = text.build(len(text.Tokenizer(out / 'tokenizer'))) if args.random else nets.load_text(args.work)
    save_file(bf16(vae), out / 'vae.safetensors')
    save_file(bf16(reader), out / 'text_encoder.safetensors')
    (out / 'model.json').write_text(json.dumps(manifest, indent=2) + '\n')
    print(made)
    files = [p for p in sorted(out.rglob('*')) if p.is_file()]
    for path in files:
        print(f'{path.stat().st_size:9d} {path.relative_to(out)}')
    print(f'{sum(p.stat().st_size for p in files) / 2 ** 20:.2f} MiB in all')


if __name__ == '__main__':
    p = argparse.ArgumentParser()
    p.add_argument('--work', type=Path, required=True)
    p.add_argument('--out', type=Path, required=True)
    p.add_argument('--i2v_sampler', choices=['ode', 'sde'], default='sde')
    p.add_argument('--bf16', action='store_true', help='no int8')
    p.add_argument('--random', action='store_true', help='untrained weights, to try the engine')
    main(p.parse_args())
