"""The transformers of the chain: sizes, files, compilation, and their velocity as a function for the samplers."""
import copy
from pathlib import Path

import torch

from common import load_weights
import flow
from models import DiT
import text

SIZE = dict(dim=256, ffn=512, heads=2, layers=6, text_dim=text.SIZE['dim'])
CHANNELS = {'t2v': 16, 'i2v': 36}


def build(mode, **sizes):
    net = DiT(in_dim=CHANNELS[mode], **(sizes or SIZE))
    with torch.no_grad():
        torch.nn.init.orthogonal_(net.patch_embedding.weight[:, :64])
        net.patch_embedding.weight[:, 64:] = 0
        net.head.head.weight.zero_(), net.head.head.bias.zero_()
        for block in net.blocks:
            for linear in (block.self_attn.o, block.cross_attn.o, block.ffn[2]):
                linear.weight.mul_(.5)
            proj = block.self_attn.attn_op.local_attn.proj_l
            proj.weight.zero_(), proj.bias.zero_()
    return net


def load(path, mode, device='cpu'):
    """A transformer from W/ckpt; one of text to video is widened to image to video with zeros."""
    file = torch.load(path)
    state, net = file['net'], build(mode, **file.get('size', SIZE))
    own, given = net.patch_embedding.weight, state['patch_embedding.weight'].float()
    if given.shape != own.shape:
        state = dict(state, **{'patch_embedding.weight': torch.cat([given, torch.zeros_like(own[:, given.shape[1]:])], 1)})
    return load_weights(net, state).to(device)


@torch.no_grad()
def grown(net, layers):
    """The net with further blocks, spread evenly; each is a copy of the block before it that adds nothing yet."""
    while len(net.blocks) < layers:
        own, count = list(net.blocks), layers - len(net.blocks)
        every = max(1, len(own) // count)
        blocks = []
        for i, block in enumerate(own):
            blocks.append(block)
            if (i + 1) % every == 0 and len(own) + sum(b not in own for b in blocks) < layers:
                fresh = copy.deepcopy(block)
                for linear in (fresh.self_attn.o, fresh.cross_attn.o, fresh.ffn[2]):
                    linear.weight.zero_(), linear.bias.zero_()
                blocks.append(fresh)
        net.blocks = torch.nn.ModuleList(blocks)
    return net


def load_text(work, device='cpu', name='text'):
    file = torch.load(Path(work) / f'ckpt/{name}.pt')
    return load_weights(text.build(file['pieces']), file['net']).to(device)


def compiled(net, wanted=True):
    """Compiles the blocks, one graph for all of them. Without a compiler they run as they are."""
    if wanted:
        import torch._dynamo
        import torch.fx.experimental._config
        torch.fx.experimental._config.use_duck_shape = False
        torch._dynamo.config.suppress_errors = True
        torch._dynamo.config.recompile_limit = 64
        for block in net.blocks:
            block.compile(dynamic=True)
    return net


def third(net):
    """The number of the block behind which a token is asked where in the world it is: a third of the way, whatever blocks were put between."""
    return len(net.blocks) // 3


def watch_choices(net):
    """The list that every forward pass of the net adds its blocks' `choice_loss` to."""
    found = []
    for block in net.blocks:
        block.self_attn.choices = found
    return found


class Velocity:
    """velocity(x, t) of a net for given texts (and conditioning), in bfloat16 on a GPU; guided where guidance > 1."""

    def __init__(self, group, net, rows, length, y=None, topk=None, guidance=1., rounded=False, frames=None, empty=None, inner=None):
        self.group, self.net, self.rows, self.length, self.y = group, net, rows, length, y
        self.topk, self.guidance, self.rounded, self.frames, self.empty = topk, guidance, rounded, frames, empty
        self.inner = inner

    def answer(self, x, t, rows, length, y):
        x = x.bfloat16().float() if self.rounded else x
        step = torch.full((len(x),), float(t), device=x.device) if not torch.is_tensor(t) else t
        step = flow.as_engine(step) if self.rounded else step * 1000
        with self.group.autocast():
            asked = {} if self.inner is None else {'probe': self.inner, 'probed': (third(self.net),)}
            return self.net(x if y is None else torch.cat([x, y], 1), step, rows, length, self.frames, self.topk, **asked).float()

    def __call__(self, x, t):
        v = self.answer(x, t, self.rows, self.length, self.y)
        if self.guidance == 1:
            return v
        rows, length = (e.expand(len(x), *e.shape[1:]) for e in self.empty)
        bare = self.answer(x, t, rows, length, self.y)
        return bare + self.guidance * (v - bare)
