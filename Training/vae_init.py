"""A starting point for the VAE: a hierarchical PCA code written into the convolutions by least squares.

Residual branches start small, so the network begins as a linear transform codec and training refines it. Because
silu(a) - silu(-a) = a, pairs of opposite channels carry values through the heads; a constant channel keeps the norm even.
"""
import torch
import torch.nn.functional as F


def _pca(x, count):
    """x [N,D] -> orthonormal rows [count, D] and mean."""
    mean = x.mean(0)
    values, vectors = torch.linalg.eigh((x - mean).T.double() @ (x - mean).double())
    return vectors.flip(1)[:, :count].T.float(), mean


def _patches(x):
    return F.unfold(x, 2, stride=2).transpose(1, 2).flatten(0, 1)


def _least_squares(x, y):
    """Weights and bias of y = x W + b."""
    x = torch.cat([x, torch.ones_like(x[:, :1])], 1).double()
    w = torch.linalg.solve(x.T @ x + 1e-3 * len(x) * torch.eye(x.shape[1]).double() * x.square().mean(), x.T @ y.double())
    return w[:-1].float(), w[-1].float()


def _embed(block):
    w = block.shortcut.weight
    w.zero_(), block.shortcut.bias.zero_()
    for i in range(min(w.shape[:2])):
        w[i, i] = 1


def _fit_conv(conv, h, target, upsample):
    """Sets a 3x3 convolution so that its first outputs follow `target`."""
    if upsample:
        h = F.interpolate(h, scale_factor=2, mode='nearest-exact')
    x = F.unfold(h, 3, padding=1).transpose(1, 2).flatten(0, 1)
    y = target.flatten(2).transpose(1, 2).flatten(0, 1)
    pick = torch.randperm(len(x))[:60000]
    w, b = _least_squares(x[pick], y[pick])
    weight = conv.weight if conv.weight.dim() == 4 else conv.weight[:, :, -1]
    n = y.shape[1]
    weight[:n] = w.T.reshape(n, h.shape[1], 3, 3)
    conv.bias[:n] = b


@torch.no_grad()
def transform_codec(vae, images, residual=.15):
    """images [N,3,64,64] in -1..1."""
    for part in (vae.encoder, vae.decoder):
        for m in part.modules():
            if hasattr(m, 'residual'):
                m.residual[6].weight *= residual
                m.residual[6].bias.zero_()
            if hasattr(m, 'to_qkv'):
                m.proj.weight *= residual
                m.proj.bias.zero_()
    e, d = vae.encoder, vae.decoder
    e.conv1.weight *= .3
    e.conv1.weight[:3] = 0
    for i in range(3):
        e.conv1.weight[i, i, 2, 1, 1] = 1
    e.conv1.bias.zero_()
    x, features = e.conv1(images[:, :, None]), []
    meaningful = 3
    for index, layer in enumerate(e.downsamples):
        if not hasattr(layer, 'resample'):
            if hasattr(layer.shortcut, 'weight'):
                _embed(layer)
            x = layer(x)
            continue
        conv = layer.resample[1]
        keep = min(conv.out_channels, 4 * meaningful)
        last = len(features) == 2
        if last:
            keep = min(conv.out_channels // 2 - 1, vae.conv2.in_channels)
        h = x[:, :, 0]
        features.append(h[:, :meaningful])
        basis, mean = _pca(_patches(h[:, :meaningful]), keep)
        conv.weight *= .1
        conv.bias.zero_()
        w = torch.zeros(keep, h.shape[1], 3, 3)
        w[:, :meaningful, :2, :2] = basis.view(keep, meaningful, 2, 2) / 2
        conv.weight[:keep] = w
        if last:
            conv.weight[keep:2 * keep] = -w
            conv.bias[:keep] = -(basis @ mean) / 2
            conv.bias[keep:2 * keep] = (basis @ mean) / 2
            conv.weight[2 * keep:] = 0
            conv.bias[2 * keep:] = 2.
        x = layer(x)
        meaningful = keep
    x = e.middle(x)
    out = e.head[2]
    out.weight *= .05
    out.bias.zero_()
    z = out.out_channels // 2
    for i in range(keep):
        out.weight[i, :, 2] = 0
        out.weight[i, i, 2, 1, 1], out.weight[i, keep + i, 2, 1, 1] = 1, -1
    out.bias[z:] = -4.
    scale = (e.head(x).std((0, 2, 3, 4)) + 1e-3).clamp(min=.05)
    out.weight[:keep] /= scale[:keep].view(-1, 1, 1, 1, 1)
    out.weight[z:] = 0
    for conv in (vae.conv1, vae.conv2):
        conv.weight.zero_(), conv.bias.zero_()
        conv.weight[:, :, 0, 0, 0] = torch.eye(conv.out_channels)
    latent = e.head(x).chunk(2, 1)[0]
    h = latent
    d.conv1.weight *= .3
    d.conv1.weight[:z] = 0
    for i in range(z):
        d.conv1.weight[i, i, 2, 1, 1] = 1
    d.conv1.bias.zero_()
    h = d.middle(d.conv1(h))
    for layer in d.upsamples:
        if not hasattr(layer, 'resample'):
            if hasattr(layer.shortcut, 'weight'):
                _embed(layer)
        else:
            target = features.pop()
            conv = layer.resample[1]
            conv.weight *= .1
            if not features:
                target = torch.cat([target, -target], 1)
            _fit_conv(conv, h[:, :, 0], target, True)
            if not features:
                conv.weight[6:] = 0
                conv.bias[6:] = 1.
        h = layer(h)
    h = F.silu(d.head[0](h))
    d.head[2].weight.zero_()
    _fit_conv(d.head[2], h[:, :, 0], images, False)
