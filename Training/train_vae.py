"""The video VAE.

  python train_vae.py image --work W --minutes 15     encoder and decoder on single frames (64 x 64 crops)
  python train_vae.py video --work W --minutes 15     decoder on clips, encoder frozen

The encoder uses only the last temporal tap of its convolutions (the others stay zero): latent frame i is the image code
of video frame 4i, so a data set can be encoded frame by frame. The decoder learns the frames between from a few temporal
convolutions at low resolution; what it sees of the past is shorter than the training window, so it cannot drift.
"""
import argparse
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from common import Average, Clock, Log, save
from models import CausalConv3d, LATENT_MEAN, LATENT_STD, VAE
from vae_init import transform_codec
import world

TEMPORAL = ('decoder.conv1', 'decoder.upsamples.3.time_conv', 'decoder.upsamples.4.residual.2',
            'decoder.upsamples.7.time_conv', 'decoder.upsamples.8.residual.2')


def build(dim=8):
    vae = VAE(dim)
    with torch.no_grad():
        for name, m in vae.named_modules():
            if isinstance(m, CausalConv3d):
                m.last_tap = name not in TEMPORAL
                if m.kernel_size[0] == 3:
                    m.weight[:, :, :2] = 0
            if name.endswith('time_conv'):
                m.weight.zero_()
                m.bias.zero_()
                for half in m.weight[:, :, 2, 0, 0].split(m.in_channels):
                    half.copy_(torch.eye(m.in_channels))
    return vae


def loss_of(got, want):
    """L1 with gradients and a coarse scale; [N,3,H,W]."""
    d = got - want
    edges = (d[..., 1:] - d[..., :-1]).abs().mean() + (d[..., 1:, :] - d[..., :-1, :]).abs().mean()
    return d.abs().mean() + .5 * edges + .5 * F.avg_pool2d(d, 4).abs().mean() + 2 * d.square().mean()


def psnr(got, want):
    return (10 * torch.log10(4 / (got.clamp(-1, 1) - want).square().mean((1, 2, 3)))).mean().item()


def image_pool(seed, count):
    rng = np.random.default_rng(seed)
    pool = []
    for i in range(count):
        if i % 2:
            image = world.photo(rng)
        else:
            a = world.sample_attributes(rng)
            image = world.Scene(a, rng).frame(float(rng.uniform(0, 60 if a['fade'] else 80)))
        pool.append((np.clip(image, 0, 1) * 255 + .5).astype(np.uint8))
    return torch.from_numpy(np.stack(pool))


def unit(u8):
    return u8.float() / 127.5 - 1


def crops(pool, rng, count, size):
    out = []
    for _ in range(count):
        i, y, x = rng.integers(len(pool)), rng.integers(pool.shape[-2] - size + 1), rng.integers(pool.shape[-1] - size + 1)
        c = pool[i, ..., y:y + size, x:x + size]
        out.append(c.flip(-1) if rng.random() < .5 else c)
    return unit(torch.stack(out))


def train_image(args):
    pool, test = image_pool(1, args.pool), image_pool(2, 24)
    vae = build()
    state_path = args.work / 'ckpt/vae_image_state.pt'
    if not state_path.exists():
        transform_codec(vae, crops(pool, np.random.default_rng(0), 200, 64))
    ema = Average(vae, .998)
    opt = torch.optim.Adam(vae.parameters(), 1e-3, betas=(.9, .98))
    step, spent = 0, 0.
    if state_path.exists():
        s = torch.load(state_path, weights_only=False)
        vae.load_state_dict(s['net']), ema.net.load_state_dict(s['ema']), opt.load_state_dict(s['opt'])
        step, spent, ema.n = s['step'], s['spent'], s['step']
    clock, rng = Clock(args.minutes, spent), np.random.default_rng(100 + step)
    log = Log(args.work / 'logs/vae_image.csv', ['step', 'seconds', 'loss', 'kl', 'psnr_scene', 'psnr_photo'])
    total = kl_total = n = 0
    while clock.progress < 1:
        for g in opt.param_groups:
            g['lr'] = clock.rate(1.5e-3, step)
        x = crops(pool, rng, args.batch, 64)
        mu, logvar = vae.moments(x[:, :, None])
        logvar = logvar.clamp(-12, 4)
        kl = .5 * (mu.square() + logvar.exp() - 1 - logvar).mean()
        y = vae.decoder(vae.conv2(mu + (.5 * logvar).exp() * torch.randn_like(mu)))[:, :, 0]
        loss = loss_of(y, x)
        opt.zero_grad()
        (loss + args.kl * kl).backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.)
        opt.step()
        ema.update(vae)
        step, n, total, kl_total = step + 1, n + 1, total + loss.item(), kl_total + kl.item()
        if step % 100 == 0 or step == 1:
            with torch.no_grad():
                x = unit(test)
                y = ema.net.decoder(ema.net.conv2(ema.net.moments(x[:, :, None])[0]))[:, :, 0]
            log(step, int(clock.spent), total / n, kl_total / n, psnr(y[::2], x[::2]), psnr(y[1::2], x[1::2]))
            total = kl_total = n = 0
            save(state_path, net=vae.state_dict(), ema=ema.net.state_dict(), opt=opt.state_dict(), step=step, spent=clock.spent)
    vae = ema.net
    fold(vae, pool)
    save(args.work / 'ckpt/vae_image.pt', net={k: v.bfloat16().float() for k, v in vae.state_dict().items()})


@torch.no_grad()
def fold(vae, pool):
    """Folds an affine map into conv1 and conv2 so that latents have the mean and deviation Wan's constants expect."""
    mu = torch.cat([vae.moments(unit(pool[i:i + 8])[:, :, None])[0] for i in range(0, 200, 8)])
    mean, std = mu.mean((0, 2, 3, 4)), mu.std((0, 2, 3, 4))
    z = len(mean)
    print('latent std before folding', std.tolist())
    k = torch.tensor(LATENT_STD) / std
    shift = torch.tensor(LATENT_MEAN) - mean * k
    vae.conv1.weight[:z] *= k.view(-1, 1, 1, 1, 1)
    vae.conv1.bias[:z] = vae.conv1.bias[:z] * k + shift
    vae.conv2.bias -= (vae.conv2.weight[:, :, 0, 0, 0] @ (shift / k))
    vae.conv2.weight /= k.view(1, -1, 1, 1, 1)


def clip_pool(seed, count, photos):
    rng, pool = np.random.default_rng(seed), []
    for i in range(count):
        if i % 2:
            item = world.Still(world.sample_attributes(rng, True), rng, photos)
        else:
            item = world.Scene(world.sample_attributes(rng), rng)
        pool.append(np.stack([(np.clip(item.frame(f), 0, 1) * 255 + .5).astype(np.uint8) for f in range(world.FRAMES)], 1))
    return torch.from_numpy(np.stack(pool))


def train_video(args):
    photos = world.load_photos(args.work / 'photos/train')
    pool, test = clip_pool(3, args.pool, photos), clip_pool(4, 4, photos)
    vae = build()
    vae.load_state_dict(torch.load(args.work / 'ckpt/vae_image.pt')['net'])
    with torch.no_grad():  # start by fading from one latent frame to the next
        for name, m in vae.decoder.named_modules():
            if name.endswith('time_conv'):
                half = m.weight[:m.in_channels]
                half[:, :, 1], half[:, :, 2] = half[:, :, 2] / 2, half[:, :, 2] / 2
    state_path = args.work / 'ckpt/vae_video_state.pt'
    for part in (vae.encoder, vae.conv1, vae.conv2):  # conv2 holds the folded scales
        part.requires_grad_(False)
    ema = Average(vae, .98)
    params = [p for p in vae.parameters() if p.requires_grad]
    opt = torch.optim.Adam(params, 1e-3, betas=(.9, .98))
    step, spent = 0, 0.
    if state_path.exists():
        s = torch.load(state_path, weights_only=False)
        vae.load_state_dict(s['net']), ema.net.load_state_dict(s['ema']), opt.load_state_dict(s['opt'])
        step, spent, ema.n = s['step'], s['spent'], s['step']
    clock, rng = Clock(args.minutes, spent), np.random.default_rng(300 + step)
    log = Log(args.work / 'logs/vae_video.csv', ['step', 'seconds', 'loss', 'psnr_first', 'psnr_on_grid', 'psnr_between', 'psnr_last'])
    total = n = 0
    while clock.progress < 1:
        for g in opt.param_groups:
            g['lr'] = clock.rate(3e-4, step, 20)
        u = rng.random()
        frames, size, batch = (5, 64, 4) if u < .25 else ((29, 48, 1) if u < .9 else (45, 40, 1))
        first = int(rng.integers(0, (world.FRAMES - frames) // 4 + 1)) * 4
        x = crops(pool[:, :, first:first + frames], rng, batch, size)
        with torch.no_grad():
            z = vae.encode(x)
        z = z + args.noise * torch.randn_like(z) * rng.random()
        y = vae.decode(z)
        fold_time = lambda v: v.transpose(1, 2).flatten(0, 1)
        d = y - x
        loss = loss_of(fold_time(y), fold_time(x)) + .5 * (d[:, :, 1:] - d[:, :, :-1]).abs().mean()
        opt.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(params, 1.)
        opt.step()
        with torch.no_grad():
            for name, m in vae.named_modules():
                if name.startswith('decoder') and isinstance(m, CausalConv3d) and m.last_tap and m.kernel_size[0] == 3:
                    m.weight[:, :, :2] = 0
        ema.update(vae)
        step, n, total = step + 1, n + 1, total + loss.item()
        if step % 50 == 0 or step == 1:
            with torch.no_grad():
                x = unit(test[..., 40:104, 60:188])
                y = ema.net.decode(ema.net.encode(x))
            p = [psnr(y[:, :, f], x[:, :, f]) for f in range(world.FRAMES)]
            log(step, int(clock.spent), total / n, p[0], float(np.mean(p[4::4])), float(np.mean(p[2::4])), float(np.mean(p[-8:])))
            total = n = 0
            save(state_path, net=vae.state_dict(), ema=ema.net.state_dict(), opt=opt.state_dict(), step=step, spent=clock.spent)
            save(args.work / 'ckpt/vae.pt', net=ema.net.state_dict())


if __name__ == '__main__':
    p = argparse.ArgumentParser()
    p.add_argument('stage', choices=['image', 'video'])
    p.add_argument('--work', type=Path, required=True)
    p.add_argument('--minutes', type=float, default=15)
    p.add_argument('--pool', type=int, default=0)
    p.add_argument('--batch', type=int, default=16)
    p.add_argument('--kl', type=float, default=1e-3)
    p.add_argument('--noise', type=float, default=.1)
    p.add_argument('--threads', type=int, default=2)
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    if args.stage == 'image':
        args.pool = args.pool or 1000
        train_image(args)
    else:
        args.pool = args.pool or 60
        train_video(args)
