"""The Wan2.1 / Wan2.2 architecture in plain PyTorch: transformer (DiT), video VAE and umT5 encoder.

Parameter names are those of the published checkpoints. `check_reference.py` compares every part with golden tensors.
"""
import math

import torch
import torch.nn as nn
import torch.nn.functional as F

LATENT_MEAN = [-0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508,
               0.4134, -0.0715, 0.5517, -0.3632, -0.1922, -0.9497, 0.2503, -0.2921]
LATENT_STD = [2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743,
              3.2687, 2.1526, 2.8652, 1.5579, 1.6382, 1.1253, 2.8251, 1.9160]


# ---------------------------------------------------------------- transformer

class RMSNorm(nn.Module):
    def __init__(self, dim, eps=1e-6):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x):
        x = x.float()
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps) * self.weight


def rope_table(frames, height, width, head_dim=128, theta=10000.0):
    """Angles [len(frames) * height * width, head_dim / 2] of tokens in (t, h, w) order; `frames` lists latent times."""
    half = head_dim // 2
    nh = nw = half // 3
    nt = half - nh - nw

    def angles(positions, n):
        freq = theta ** (-torch.arange(n, dtype=torch.float64) / n)
        return torch.as_tensor(positions, dtype=torch.float64)[:, None] * freq

    t, h, w = angles(frames, nt), angles(range(height), nh), angles(range(width), nw)
    size = (len(t), height, width)
    return torch.cat([t[:, None, None].expand(*size, nt), h[None, :, None].expand(*size, nh),
                      w[None, None].expand(*size, nw)], -1).reshape(-1, half)


def rope_cos_sin(table):
    """cos and (sign-carrying) sin, both repeated for consecutive pairs."""
    cos = table.cos().float().repeat_interleave(2, -1)
    sin = table.sin().float()
    return cos, torch.stack([-sin, sin], -1).flatten(-2)


def apply_rope(x, cos, sin):
    swapped = x.unflatten(-1, (-1, 2)).flip(-1).flatten(-2)
    return x * cos + swapped * sin


class SLA(nn.Module):
    """Sparse-linear attention: softmax over the chosen key blocks plus a projected linear branch."""

    def __init__(self, head_dim=128):
        super().__init__()
        self.proj_l = nn.Linear(head_dim, head_dim)

    def forward(self, q, k, v, topk, blkq=128, blkk=64):
        """q, k, v [B,H,N,D]; the softmax sees int(topk * blocks) key blocks of every query block, at least one."""
        blocks = -(-q.shape[-2] // blkk)
        count = max(1, min(blocks, int(topk * blocks)))
        if count == blocks:
            o = F.scaled_dot_product_attention(q, k, v)
        else:
            o = _block_sparse(q, k, v, choose_blocks(q, k, count, blkq, blkk), blkq, blkk)
        pq, pk = q.float().softmax(-1).to(v.dtype), k.float().softmax(-1).to(v.dtype)
        weight = (pq * pk.float().sum(-2, keepdim=True)).sum(-1, keepdim=True)
        linear = (pq @ (pk.transpose(-1, -2) @ v)) / (1e-5 + weight)
        return o + self.proj_l(linear.to(v.dtype))


@torch.no_grad()
def choose_blocks(q, k, count, blkq, blkk):
    """Numbers of the key blocks [B,H,query blocks,count] whose mean agrees best with the query block's mean."""
    q, k = q.float(), k.float()
    pooled_q, pooled_k = _pool(q, blkq), _pool(k - k.mean(-2, keepdim=True), blkk)
    with torch.autocast(q.device.type, enabled=False):
        return (pooled_q @ pooled_k.transpose(-1, -2)).topk(count, -1).indices


def choice_loss(q, k, samples=4, sharpness=4., blkq=128, blkk=64):
    """How badly the scores that blocks are chosen by tell where attention goes: cross entropy with the key blocks'
    shares of dense attention, which some queries of every query block give. Choosing has no gradient; this has."""
    b, h, length, d = q.shape
    nq, nk = -(-length // blkq), -(-length // blkk)
    q, k = q.float(), k.float()
    with torch.autocast(q.device.type, enabled=False):
        with torch.no_grad():
            first = torch.arange(nq, device=q.device)[:, None] * blkq
            some = (first + torch.randint(blkq, (nq, samples), device=q.device)).clamp(max=length - 1).flatten()
            shares = (q[:, :, some] @ k.transpose(-1, -2) * d ** -.5).softmax(-1)
            shares = F.pad(shares, (0, nk * blkk - length)).unflatten(-1, (nk, blkk)).sum(-1)
            shares = shares.unflatten(-2, (nq, samples)).mean(-2)
        scores = _pool(q, blkq) @ _pool(k - k.mean(-2, keepdim=True), blkk).transpose(-1, -2)
        return -(shares * (scores * (sharpness * d ** -.5)).log_softmax(-1)).sum(-1).mean()


def _pool(x, size):
    length = x.shape[-2]
    blocks = -(-length // size)
    total = F.pad(x, (0, 0, 0, blocks * size - length)).unflatten(-2, (blocks, size)).sum(-2)
    last = length - (blocks - 1) * size
    n = torch.where(torch.arange(blocks, device=x.device) == blocks - 1, float(last), float(size))
    return total / n[:, None]


def _block_sparse(q, k, v, chosen, blkq, blkk):
    """Softmax attention of every query block over the key blocks chosen for it."""
    b, h, length, d = q.shape
    nq, count = chosen.shape[-2:]
    nk = -(-length // blkk)
    first = torch.arange(b * h, device=q.device).view(-1, 1) * nk
    index = (chosen.view(b * h, nq * count) + first).flatten()
    qp = F.pad(q, (0, 0, 0, nq * blkq - length)).reshape(b * h * nq, 1, blkq, d)

    def gather(x):
        xp = F.pad(x, (0, 0, 0, nk * blkk - length)).reshape(b * h * nk, blkk * d)
        return xp.index_select(0, index).view(b * h * nq, 1, count * blkk, d)

    mask = None
    if nk * blkk != length:
        position = chosen[..., None] * blkk + torch.arange(blkk, device=q.device)
        position = position.view(b * h * nq, 1, 1, count * blkk)
        mask = torch.zeros(position.shape, dtype=q.dtype, device=q.device).masked_fill(position >= length, -1e30)
        mask = mask.expand(-1, -1, blkq, -1)
    o = F.scaled_dot_product_attention(qp, gather(k), gather(v), attn_mask=mask)
    return o.reshape(b, h, nq * blkq, d)[:, :, :length]


class AttnOp(nn.Module):
    def __init__(self, head_dim=128):
        super().__init__()
        self.local_attn = SLA(head_dim)


class Attention(nn.Module):
    topk = None  # share of key blocks of SLA; None: dense
    choices = None  # a list that gets `choice_loss` of every call

    def __init__(self, dim, heads, sla):
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v, self.o = (nn.Linear(dim, dim) for _ in range(4))
        self.norm_q, self.norm_k = RMSNorm(dim), RMSNorm(dim)
        if sla:
            self.attn_op = AttnOp(dim // heads)

    def split(self, x):
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    @torch.compiler.disable  # one compiled block for both kinds; SLA's symbolic shapes take longer than they save
    def attend(self, q, k, v):
        if self.choices is not None:
            self.choices.append(choice_loss(q, k))
        if self.topk is None:
            return F.scaled_dot_product_attention(q, k, v)
        return self.attn_op.local_attn(q, k, v, self.topk)

    def forward(self, x, rope):
        q, k, v = self.split(self.norm_q(self.q(x))), self.split(self.norm_k(self.k(x))), self.split(self.v(x))
        q, k = apply_rope(q, *rope).to(v.dtype), apply_rope(k, *rope).to(v.dtype)
        return self.o(self.attend(q, k, v).transpose(1, 2).flatten(2))

    def cross(self, x, text, bias):
        v = self.split(self.v(text))
        q, k = self.split(self.norm_q(self.q(x))).to(v.dtype), self.split(self.norm_k(self.k(text))).to(v.dtype)
        bias = None if bias is None else bias.to(v.dtype).expand(-1, -1, q.shape[-2], -1)
        return self.o(F.scaled_dot_product_attention(q, k, v, attn_mask=bias).transpose(1, 2).flatten(2))


class Block(nn.Module):
    def __init__(self, dim, ffn, heads, sla):
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, 1e-6, elementwise_affine=False)
        self.self_attn = Attention(dim, heads, sla)
        self.norm3 = nn.LayerNorm(dim, 1e-6)
        self.cross_attn = Attention(dim, heads, False)
        self.norm2 = nn.LayerNorm(dim, 1e-6, elementwise_affine=False)
        self.ffn = nn.Sequential(nn.Linear(dim, ffn), nn.GELU('tanh'), nn.Linear(ffn, dim))
        self.modulation = nn.Parameter(torch.randn(1, 6, dim) / dim ** 0.5)

    def forward(self, x, e, rope, text, bias):
        e = (self.modulation + e).unbind(1)
        e = [y[:, None] for y in e]
        x = x + e[2] * self.self_attn(self.norm1(x) * (1 + e[1]) + e[0], rope)
        x = x + self.cross_attn.cross(self.norm3(x), text, bias)
        return x + e[5] * self.ffn(self.norm2(x) * (1 + e[4]) + e[3])


class Head(nn.Module):
    def __init__(self, dim, out):
        super().__init__()
        self.norm = nn.LayerNorm(dim, 1e-6, elementwise_affine=False)
        self.head = nn.Linear(dim, out)
        self.modulation = nn.Parameter(torch.randn(1, 2, dim) / dim ** 0.5)

    def forward(self, x, e):
        shift, scale = (self.modulation + e[:, None]).chunk(2, 1)
        return self.head(self.norm(x) * (1 + scale) + shift)


class DiT(nn.Module):
    TEXT_LEN = 512

    def __init__(self, in_dim=16, dim=256, ffn=768, heads=2, layers=6, text_dim=128, out_dim=16, sla=True):
        super().__init__()
        self.out_dim = out_dim
        self.patch_embedding = nn.Linear(in_dim * 4, dim)
        self.text_embedding = nn.Sequential(nn.Linear(text_dim, dim), nn.GELU('tanh'), nn.Linear(dim, dim))
        self.time_embedding = nn.Sequential(nn.Linear(256, dim), nn.SiLU(), nn.Linear(dim, dim))
        self.time_projection = nn.Sequential(nn.SiLU(), nn.Linear(dim, dim * 6))
        self.blocks = nn.ModuleList(Block(dim, ffn, heads, sla) for _ in range(layers))
        self.head = Head(dim, out_dim * 4)
        self.ropes = {}

    def rope(self, frames, h, w, device):
        key = (tuple(frames), h, w, device)
        if key not in self.ropes:
            if len(self.ropes) > 256:
                self.ropes.clear()
            self.ropes[key] = tuple(r.clone().to(device) for r in rope_cos_sin(rope_table(frames, h, w)))
        return self.ropes[key]

    @staticmethod
    def patches(x):
        """[B,C,T,H,W] -> tokens [B,T*H/2*W/2,4C]."""
        b, c, t, h, w = x.shape
        x = x.view(b, c, t, h // 2, 2, w // 2, 2).permute(0, 2, 3, 5, 1, 4, 6)
        return x.reshape(b, t * (h // 2) * (w // 2), c * 4)

    def text_bias(self, length, rows):
        """Text may be shorter than 512 rows: the missing padding rows are one key, whose logit gets log(count)."""
        row = torch.arange(rows + 1, device=length.device)
        missing = (self.TEXT_LEN - length).float().log()[:, None]
        bias = torch.where(row < length[:, None], 0., -1e30)
        return torch.where(row == rows, missing, bias)[:, None, None]

    def forward(self, x, timestep, text, length=None, frames=None, topk=None, probe=None, probed=(1,)):
        """x [B,C,T,H,W]; text [B,N,D] (rows past `length` are zero; without `length` all rows are attended to);
        frames: the latent times of x, default 0..T-1; topk: SLA with that share of key blocks, else dense;
        probe: a list that gets the tokens behind the blocks `probed` (the second)."""
        b, c, t, h, w = x.shape
        gh, gw = h // 2, w // 2
        rope = self.rope(range(t) if frames is None else frames, gh, gw, x.device)
        freq = 10000.0 ** (-torch.arange(128, dtype=torch.float64, device=x.device) / 128)
        angle = timestep.double()[:, None] * freq
        with torch.autocast(x.device.type, enabled=False):
            e = self.time_embedding(torch.cat([angle.cos(), angle.sin()], -1).float())
            e0 = self.time_projection(e).unflatten(1, (6, -1))
        bias = None
        if length is not None:
            bias = self.text_bias(length, text.shape[1])
            text = torch.cat([text, torch.zeros_like(text[:, :1])], 1)
        text = self.text_embedding(text)
        x = self.patch_embedding(self.patches(x)).float()
        for i, block in enumerate(self.blocks):
            block.self_attn.topk = topk
            x = block(x, e0, rope, text, bias)
            if i in probed and probe is not None:
                probe.append(x)
        with torch.autocast(x.device.type, enabled=False):
            x = self.head(x, e)
        x = x.view(b, t, gh, gw, 2, 2, self.out_dim)
        return x.permute(0, 6, 1, 2, 4, 3, 5).reshape(b, self.out_dim, t, h, w)


# ---------------------------------------------------------------- VAE

class CausalConv3d(nn.Conv3d):
    """Causal in time. With `last_tap` only the current frame's tap is used (the other taps are zero in the file)."""
    last_tap = False

    def forward(self, x):
        b, c, t = x.shape[:3]
        kt, kh = self.kernel_size[0], self.kernel_size[1]
        weight = self.weight
        if kt > 1 and not self.last_tap and t > 1:
            past = F.pad(x, (0, 0, 0, 0, kt - 1, 0))
            flat = torch.cat([past[:, :, i:i + t] for i in range(kt)], 1).transpose(1, 2).flatten(0, 1)
            weight = weight.transpose(1, 2).flatten(1, 2)
        else:
            flat = x.transpose(1, 2).flatten(0, 1)
            weight = weight[:, :, -1]
        y = F.conv2d(flat, weight, self.bias, padding=kh // 2)
        return y.unflatten(0, (b, t)).transpose(1, 2)


class ChannelNorm(nn.Module):
    def __init__(self, dim, images=False):
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(dim, 1, 1) if images else torch.ones(dim, 1, 1, 1))

    def forward(self, x):
        return F.normalize(x, dim=1) * (x.shape[1] ** 0.5) * self.gamma


class ResidualBlock(nn.Module):
    def __init__(self, cin, cout):
        super().__init__()
        self.residual = nn.Sequential(
            ChannelNorm(cin), nn.SiLU(), CausalConv3d(cin, cout, 3),
            ChannelNorm(cout), nn.SiLU(), nn.Identity(), CausalConv3d(cout, cout, 3))
        self.shortcut = CausalConv3d(cin, cout, 1) if cin != cout else nn.Identity()

    def forward(self, x):
        return self.shortcut(x) + self.residual(x)


class FrameAttention(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.norm = ChannelNorm(dim, images=True)
        self.to_qkv = nn.Conv2d(dim, dim * 3, 1)
        self.proj = nn.Conv2d(dim, dim, 1)

    def forward(self, x):
        b, c, t, h, w = x.shape
        y = x.transpose(1, 2).flatten(0, 1)
        q, k, v = self.to_qkv(self.norm(y)).flatten(2).transpose(1, 2)[:, None].chunk(3, -1)
        y = F.scaled_dot_product_attention(q, k, v)[:, 0].transpose(1, 2).reshape(b * t, c, h, w)
        return x + self.proj(y).unflatten(0, (b, t)).transpose(1, 2)


class Resample(nn.Module):
    def __init__(self, dim, mode):
        super().__init__()
        self.mode = mode
        if mode.startswith('up'):
            self.resample = nn.Sequential(nn.Upsample(scale_factor=(2., 2.), mode='nearest-exact'),
                                          nn.Conv2d(dim, dim // 2, 3, padding=1))
            if mode == 'upsample3d':
                self.time_conv = CausalConv3d(dim, dim * 2, (3, 1, 1))
        else:
            self.resample = nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(dim, dim, 3, stride=2))
            if mode == 'downsample3d':
                self.time_conv = CausalConv3d(dim, dim, (3, 1, 1))

    def forward(self, x):
        b, c, t = x.shape[:3]
        if self.mode == 'upsample3d' and t > 1:
            y = self.time_conv(x[:, :, 1:]).unflatten(1, (2, c)).permute(0, 2, 3, 1, 4, 5).flatten(2, 3)
            x = torch.cat([x[:, :, :1], y], 2)
        elif self.mode == 'downsample3d' and t > 1 and self.time_conv.last_tap:
            x = torch.cat([x[:, :, :1], x[:, :, 2::2]], 2)  # spatial convolution only for frames that are kept
        y = self.resample(x.transpose(1, 2).flatten(0, 1)).unflatten(0, (b, -1)).transpose(1, 2)
        if self.mode == 'downsample3d' and t > 1:
            if self.time_conv.last_tap:
                rest = self.time_conv(y[:, :, 1:])
            else:
                rest = F.conv3d(y, self.time_conv.weight, self.time_conv.bias, stride=(2, 1, 1))
            y = torch.cat([y[:, :, :1], rest], 2)
        return y


class Encoder(nn.Module):
    def __init__(self, dim, z, mult=(1, 2, 4, 4), blocks=2, down3d=(False, True, True)):
        super().__init__()
        dims = [dim * u for u in (1, *mult)]
        self.conv1 = CausalConv3d(3, dims[0], 3)
        layers = []
        for i, (cin, cout) in enumerate(zip(dims, dims[1:])):
            for _ in range(blocks):
                layers.append(ResidualBlock(cin, cout))
                cin = cout
            if i < len(mult) - 1:
                layers.append(Resample(cout, 'downsample3d' if down3d[i] else 'downsample2d'))
        self.downsamples = nn.Sequential(*layers)
        self.middle = nn.Sequential(ResidualBlock(cout, cout), FrameAttention(cout), ResidualBlock(cout, cout))
        self.head = nn.Sequential(ChannelNorm(cout), nn.SiLU(), CausalConv3d(cout, z, 3))

    def forward(self, x):
        return self.head(self.middle(self.downsamples(self.conv1(x))))


class Decoder(nn.Module):
    def __init__(self, dim, z, mult=(1, 2, 4, 4), blocks=2, up3d=(True, True, False)):
        super().__init__()
        dims = [dim * u for u in (mult[-1], *mult[::-1])]
        self.conv1 = CausalConv3d(z, dims[0], 3)
        self.middle = nn.Sequential(ResidualBlock(dims[0], dims[0]), FrameAttention(dims[0]),
                                    ResidualBlock(dims[0], dims[0]))
        layers = []
        for i, (cin, cout) in enumerate(zip(dims, dims[1:])):
            if i:
                cin //= 2
            for _ in range(blocks + 1):
                layers.append(ResidualBlock(cin, cout))
                cin = cout
            if i < len(mult) - 1:
                layers.append(Resample(cout, 'upsample3d' if up3d[i] else 'upsample2d'))
        self.upsamples = nn.Sequential(*layers)
        self.head = nn.Sequential(ChannelNorm(cout), nn.SiLU(), CausalConv3d(cout, 3, 3))

    def forward(self, x):
        return self.head(self.upsamples(self.middle(self.conv1(x))))


class VAE(nn.Module):
    def __init__(self, dim=8, z=16, encoder_dim=None):
        super().__init__()
        self.encoder, self.decoder = Encoder(encoder_dim or dim, z * 2), Decoder(dim, z)
        self.conv1, self.conv2 = CausalConv3d(z * 2, z * 2, 1), CausalConv3d(z, z, 1)

    def moments(self, video):
        return self.conv1(self.encoder(video)).chunk(2, 1)

    def encode(self, video):
        """Normalised latent (the mean, no sample) of video [B,3,T,H,W] in -1..1."""
        mean, std = (torch.tensor(c, device=video.device).view(1, -1, 1, 1, 1) for c in (LATENT_MEAN, LATENT_STD))
        return (self.moments(video)[0] - mean) * (1 / std)

    def decode(self, latent):
        mean, std = (torch.tensor(c, device=latent.device).view(1, -1, 1, 1, 1) for c in (LATENT_MEAN, LATENT_STD))
        return self.decoder(self.conv2(latent / (1 / std) + mean))


# ---------------------------------------------------------------- umT5

def relative_buckets(length, device=None, buckets=32, max_distance=128):
    position = torch.arange(length, device=device)
    relative = position[None] - position[:, None]
    half = buckets // 2
    base = (relative > 0).long() * half
    distance = relative.abs()
    exact = half // 2
    large = exact + (torch.log(distance.float().clamp(min=1) / exact) / math.log(max_distance / exact)
                     * (half - exact)).long()
    return base + torch.where(distance < exact, distance, large.clamp(max=half - 1))


class T5Attention(nn.Module):
    def __init__(self, dim, inner, heads):
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v = (nn.Linear(dim, inner, bias=False) for _ in range(3))
        self.o = nn.Linear(inner, dim, bias=False)

    def forward(self, x, bias):
        q, k, v = (f(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for f in (self.q, self.k, self.v))
        p = (q @ k.transpose(-1, -2) + bias).softmax(-1)
        return self.o((p @ v).transpose(1, 2).flatten(2))


class T5FFN(nn.Module):
    def __init__(self, dim, ffn):
        super().__init__()
        self.gate = nn.Sequential(nn.Linear(dim, ffn, bias=False), nn.GELU('tanh'))
        self.fc1 = nn.Linear(dim, ffn, bias=False)
        self.fc2 = nn.Linear(ffn, dim, bias=False)

    def forward(self, x):
        return self.fc2(self.fc1(x) * self.gate(x))


class T5Position(nn.Module):
    def __init__(self, heads):
        super().__init__()
        self.embedding = nn.Embedding(32, heads)


class T5Block(nn.Module):
    def __init__(self, dim, inner, heads, ffn):
        super().__init__()
        self.norm1, self.attn = RMSNorm(dim), T5Attention(dim, inner, heads)
        self.norm2, self.ffn = RMSNorm(dim), T5FFN(dim, ffn)
        self.pos_embedding = T5Position(heads)

    def forward(self, x, buckets, mask):
        bias = self.pos_embedding.embedding(buckets).permute(2, 0, 1)[None]
        bias = bias.masked_fill(~mask[:, None, None], torch.finfo(x.dtype).min)
        x = x + self.attn(self.norm1(x), bias)
        return x + self.ffn(self.norm2(x))


class T5Encoder(nn.Module):
    def __init__(self, vocab, dim=128, d_kv=32, heads=4, layers=3, ffn=256):
        super().__init__()
        self.token_embedding = nn.Embedding(vocab, dim)
        self.blocks = nn.ModuleList(T5Block(dim, d_kv * heads, heads, ffn) for _ in range(layers))
        self.norm = RMSNorm(dim)

    def forward(self, ids, mask):
        """Rows past the true length are zero."""
        mask = mask.bool()
        x, buckets = self.token_embedding(ids), relative_buckets(ids.shape[1], ids.device)
        for block in self.blocks:
            x = block(x, buckets, mask)
        return self.norm(x) * mask[..., None]
