"""Makes a working folder from a model folder, so that the shipped nets can be trained further or be sampled in Python:

  python resume.py --models ../Models/miniature --work W

Writes W/ckpt/t2v_few.pt, i2v_high_few.pt, i2v_low_few.pt, vae.pt, text.pt (what is there already stays) and W/tokenizer.
Linears stored as int8 are multiplied by their scales again: exact but for what int8 rounded away. The shipped nets are
students; a teacher stage that starts from one (`train_teacher.py --init t2v_few`) makes a teacher of it again.
"""
import argparse
from pathlib import Path
import shutil

from safetensors.torch import load_file
import torch

from common import save
import nets


def plain(tensors):
    """int8 blocks of 128 x 128 with their scales -> matrices."""
    out = {}
    for name, value in tensors.items():
        if name.endswith('int8_weight'):
            scale = tensors[name.removesuffix('int8_weight') + 'scale'].float()
            scale = scale.repeat_interleave(128, 0)[:len(value)].repeat_interleave(128, 1)[:, :value.shape[1]]
            out[name.removesuffix('int8_weight') + 'weight'] = value.float() * scale
        elif not name.endswith('.scale'):
            out[name] = value
    return {k: v.to(torch.bfloat16) for k, v in out.items()}


def layers_of(net):
    return 1 + max(int(name.split('.')[1]) for name in net if name.startswith('blocks.'))


def main(args):
    ckpt = args.work / 'ckpt'
    ckpt.mkdir(parents=True, exist_ok=True)
    for source, name in (('t2v', 't2v_few'), ('i2v_high', 'i2v_high_few'), ('i2v_low', 'i2v_low_few'), ('vae', 'vae'), ('text_encoder', 'text')):
        path = args.models / f'{source}.safetensors'
        if path.exists() and not (ckpt / f'{name}.pt').exists():
            net = plain(load_file(path))
            more = {'pieces': len(net['token_embedding.weight'])} if name == 'text' else {'size': dict(nets.SIZE, layers=layers_of(net)), 'step': 0} if name != 'vae' else {}
            save(ckpt / f'{name}.pt', net=net, **more)
    shutil.copytree(args.models / 'tokenizer', args.work / 'tokenizer', dirs_exist_ok=True)


if __name__ == '__main__':
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--models', type=Path, default=Path(__file__).resolve().parent.parent / 'Models/miniature')
    p.add_argument('--work', type=Path, required=True)
    main(p.parse_args())
