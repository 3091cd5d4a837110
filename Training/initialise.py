"""How the transformers start: where each token is, what to copy, and nothing else.

Position. RoPE is relative, so a transformer fed with noise does not know where a token is. The linear branch of SLA does:
phi(q) is taken after RoPE, and the floor of its denominator, out = m v / (m + 1e-5) with m = phi(q) . sum phi(k), is not
relative. With a constant q (one RoPE pair turned so that its cosine grows along an axis), a constant k (all mass on one
channel that hardly turns) and a constant v, out is a smooth ramp along that axis. Two heads of the first block and one of
the second give the ramps of x, t and y; their queries and keys are constants and stay as they are.

Residual stream. 256 channels in an orthonormal basis: 64 for the noisy patch, 64 for the estimate of the clean patch
(image to video: the first frame's patch), one each for the mask, x, t and y, one constant that keeps norms even, two for
an offset (below). The head answers v = noisy - estimate. Outputs of the blocks start at zero, and their inputs start blind
to the noise.

Offset. A small auxiliary loss teaches the first two blocks to write an offset in tokens into two channels: to the centre
of the moving thing in text to video, to the place in the first frame a token shows in image to video.

Image to video. One head of the third block looks at that place of the frame with the mask and copies its patch: the film
starts as a still picture, and training adds the movement.
"""
import math

import numpy as np
import torch

SLOW = 2 * 21  # a channel of the slowest time pair
AXES = {'t': (0, 22, 21), 'y': (22, 21, 9), 'x': (43, 21, 16)}  # first pair, pairs, tokens
PAIR = {'t': 9, 'y': 6, 'x': 8}
TOKENS = 21 * 9 * 16
ANCHOR = 1600.
OFFSET = 4.  # size of an offset of one token


def ramp(axis, gain=3.6):
    """Query and key (after their norms) of a head whose linear branch grows along the axis; channels of 128."""
    first, pairs, n = AXES[axis]
    omega = 10000. ** (-PAIR[axis] / pairs)
    start = -.45 - (n - 1) * omega
    q, k = torch.zeros(128), torch.zeros(128)
    scale = gain / (math.cos(-.45) - math.cos(start))
    channel = 2 * (first + PAIR[axis])
    q[channel], q[channel + 1] = scale * math.cos(start), scale * math.sin(start)
    k[SLOW] = 40.
    middle = scale * math.cos(start + (n - 1) / 2 * omega)
    others = 126 + math.exp(scale * math.sin(start + (n - 1) / 2 * omega))
    q[SLOW] = math.log(math.exp(middle) + others) + math.log(1e-5 / TOKENS)
    # the mass grows as the pair's cosine falls; half of 1e-5 is reached in the middle
    return q.bfloat16().float(), k


def ramp_value(axis, position, q, tokens=TOKENS):
    """What the branch gives for v = 1 (for tests)."""
    first, pairs, _ = AXES[axis]
    angle = position * 10000. ** (-PAIR[axis] / pairs)
    channel = 2 * (first + PAIR[axis])
    a, b = q[channel].item(), q[channel + 1].item()
    rest = math.exp(a * math.cos(angle) - b * math.sin(angle)) + math.exp(a * math.sin(angle) + b * math.cos(angle)) + 125
    m = tokens * math.exp(q[SLOW].item()) / (rest + math.exp(q[SLOW].item()))
    return m / (m + 1e-5)


@torch.no_grad()
def raise_gain(net, times, values):
    """Adds values (interpolated between the noise levels) to the gain of the head: v = (noisy - estimate) / t."""
    t = torch.linspace(times[-1] - .1, times[0], 200)
    order = sorted(zip(times, values))
    want = torch.from_numpy(np.interp(t, *zip(*order))).float()
    freq = 10000.0 ** (-torch.arange(128, dtype=torch.float64) / 128)
    angle = (t * 1000).double()[:, None] * freq
    hidden = net.time_embedding[:2](torch.cat([angle.cos(), angle.sin()], -1).float())
    hidden = torch.cat([hidden, torch.ones(len(t), 1)], 1).double()
    fit = torch.linalg.solve(hidden.T @ hidden + 1e-4 * torch.eye(hidden.shape[1]), hidden.T @ want.double()).float()
    net.time_embedding[2].weight += fit[:-1]
    net.time_embedding[2].bias += fit[-1]
    return (hidden.float() @ fit - want).abs().max().item()


@torch.no_grad()
def initialise(net, image, grey=None):
    """image: the net has the conditioning channels. Returns [(parameter, mask)]: gradients are
    multiplied by the masks; and [dim,2]: reads the offset (x, y) in tokens from the second block's output."""
    dim = net.patch_embedding.out_features
    basis = torch.randn(dim, dim)
    basis[:, 0] = 1
    basis = torch.linalg.qr(basis)[0]
    noisy, clean = basis[:, 1:65], basis[:, 65:129]
    constant, mask, axis = basis[:, 129], basis[:, 130], dict(zip('xty', basis[:, 131:134].T))
    offset = basis[:, 134:136]
    frozen = []

    def hold(p, rows=None):
        m = torch.zeros_like(p) if rows is None else torch.ones_like(p)
        if rows is not None:
            m[rows] = 0
        frozen.append((p, m))

    net.patch_embedding.weight.zero_()
    net.patch_embedding.weight[:, :64] = noisy
    if image:
        net.patch_embedding.weight[:, 64:80] = mask[:, None] * .5
        net.patch_embedding.weight[:, 80:] = clean
    net.patch_embedding.bias.copy_(constant * 16)
    shuffle = lambda m: m.view(dim, 16, 2, 2).permute(2, 3, 1, 0).reshape(64, dim)
    scale = ((256 + 64 + 64 * image + 3 * 20) / dim) ** .5
    net.head.head.weight.copy_(shuffle(noisy - clean) * scale)
    net.head.head.bias.zero_(), net.head.modulation.zero_()
    net.time_embedding[2].weight *= .1
    net.time_embedding[2].bias.zero_()
    net.time_projection[1].weight *= .1
    net.time_projection[1].bias.zero_()
    levels = [.99, .9, .8, .7, .6, .5]
    raise_gain(net, levels, [((316 + 64 * (t * t + (1 - t) ** 2)) / 380) ** .5 / t - 1 for t in levels])
    pad = net.text_embedding(torch.zeros(1, net.text_embedding[0].in_features))
    for number, block in enumerate(net.blocks):
        block.modulation.normal_(std=.01)
        block.modulation[:, [2, 5]] += 1
        attention, cross = block.self_attn, block.cross_attn
        for linear in (attention.q, attention.k, attention.v, cross.q, block.ffn[0]):
            linear.weight -= linear.weight @ noisy @ noisy.T
        for linear in (attention.o, cross.o, block.ffn[2]):
            linear.weight.zero_(), linear.bias.zero_()
        proj = attention.attn_op.local_attn.proj_l
        proj.weight.zero_(), proj.bias.zero_()
        # padding rows of the text are one strong key; queries start by looking away from it
        cross.q.bias.copy_(-cross.norm_k(cross.k(pad))[0] * .6)
        ramps = {0: 'xt', 1: 'y'}.get(number, '')
        for name in 'qk':
            linear, norm = getattr(attention, name), getattr(attention, f'norm_{name}')
            # a large channel that the norm's weight removes again: the other channels are as good as not normalised
            linear.weight[126] = 0
            linear.bias[126] = ANCHOR
            norm.weight.fill_(ANCHOR / 16)
            norm.weight[126] = 0
            rows = [126]
            for head, a in enumerate(ramps):
                part = slice(128 * head, 128 * head + 128)
                linear.weight[part] = 0
                linear.bias[part] = ramp(a)['qk'.index(name)]
                linear.bias[126] = ANCHOR
                rows += range(128 * head, 128 * head + 128)
            hold(linear.weight, rows), hold(linear.bias, rows), hold(norm.weight)
        for head, a in enumerate(ramps):
            channel = 128 * head
            attention.v.weight[channel:channel + 128] = 0
            attention.v.bias[channel:channel + 128] = 0
            attention.v.bias[channel] = 1
            proj.weight[1, 0] = 20
            attention.o.weight[:, channel + 1] = axis[a]
            attention.o.bias -= axis[a] * 10
            hold(attention.v.weight, range(channel, channel + 128)), hold(attention.v.bias, range(channel, channel + 128))
        if number:  # features of the position: hinges along lines in (x, t, y)
            count = 256
            lines = torch.randn(count, 3)
            lines[:96] = torch.eye(3).repeat(32, 1)
            lines = torch.nn.functional.normalize(lines, dim=1) * torch.empty(count, 1).uniform_(.5, 2.5)
            lines *= torch.where(torch.rand(count, 1) < .5, 1, -1)
            points = torch.empty(count, 3).uniform_(-7, 7) / scale
            known = torch.stack([axis[a] for a in 'xty'])
            block.ffn[0].weight[:count] = block.ffn[0].weight[:count] * .5 + lines @ known
            block.ffn[0].bias[:count] = -(lines * points).sum(1)
        if number == 2 or number > 2 and not image:  # and of the offset
            lines = torch.nn.functional.normalize(torch.randn(128, 2), dim=1) * torch.empty(128, 1).uniform_(.7, 3)
            points = torch.empty(128, 2).uniform_(-OFFSET * 2.2, OFFSET * 2.2) / scale
            block.ffn[0].weight[128:256] = block.ffn[0].weight[256:384] * .5 + lines @ offset.T
            block.ffn[0].bias[128:256] = -(lines * points).sum(1)
    net.blocks[1].self_attn.v.weight[128:] = 0
    net.blocks[1].self_attn.v.bias[128:] = 0
    for number, head, shift in ((2, 0, 0.), (3, 0, -.5), (3, 1, .5)) if image else ():
        attention, part = net.blocks[number].self_attn, slice(128 * head, 128 * head + 128)
        q, k = attention.q, attention.k
        if head == 0:  # keys are zero but in the frame with the mask; their norm makes them independent of the picture
            k.weight.zero_(), k.bias.zero_()
            k.bias[126] = 15.
            attention.v.weight.zero_(), attention.v.bias.zero_()
            hold(k.weight), hold(k.bias)
        q.weight[part] *= .1
        q.bias[part] = 0
        wanted = torch.zeros(128)
        for axis_number, first in ((1, 22), (0, 43)):
            for j, a in ((2, 20.), (3, 60.)):
                size, channel, omega = (a * 128 ** .5) ** .5, 2 * (first + j), 10000. ** (-j / 21)
                wanted[channel] = q.bias[128 * head + channel] = size
                q.weight[128 * head + channel + 1] = size * omega / (OFFSET / scale) * offset[:, axis_number]  # turned
                q.bias[128 * head + channel + 1] = size * omega * shift * (axis_number == 0)
        slow = 128 * head + SLOW  # tells the masked frame from the others; the masked frame itself looks elsewhere
        wanted[SLOW], q.bias[slow] = 50., 80.
        q.weight[slow] = -mask / (8 / scale) * 160
        q.weight[126], q.bias[126] = 0, ANCHOR
        hold(q.weight, [126, slow]), hold(q.bias, [126, slow])
        k.weight[part] = 60 / wanted.norm() * wanted[:, None] * mask / (8 / scale)
        attention.norm_k.weight.fill_(wanted.norm() * (1 if number == 2 else 2 ** .5) / 16)
        attention.norm_k.weight[126] = 0
        if number == 2:
            attention.v.weight[:64] = clean.T
            attention.o.weight[:, :64] = clean * scale
            attention.o.bias -= clean @ (0 if grey is None else grey)
        else:  # right cells for -.5, left cells for +.5
            cells = clean[:, (1 - head)::2]
            attention.v.weight[128 * head:128 * head + 32] = cells.T
            attention.o.weight[:, 128 * head:128 * head + 32] = basis[:, 136 + 32 * head:168 + 32 * head] * scale * .7
    return frozen, offset / OFFSET


@torch.no_grad()
def calibrate(net, run):
    """Training moves what the copying heads read as the mask a little. Sets their queries again to +80 outside the first
    frame and -80 in it. `run()` runs the net on whole clips."""
    for number in (2, 3):
        attention, seen = net.blocks[number].self_attn, []
        hook = attention.q.register_forward_hook(lambda m, i, o: seen.append(o))
        run()
        hook.remove()
        q = torch.cat(seen)
        for head in range(1 if number == 2 else 2):
            row = 128 * head + SLOW
            inside, outside = q[:, :144, row].mean(), q[:, 144:, row].mean()
            factor = 160 / (outside - inside)
            attention.q.weight[row] *= factor
            attention.q.bias[row] = attention.q.bias[row] * factor + 80 - factor * outside
