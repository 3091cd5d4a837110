"""The video VAE.

  python train_vae.py image --work W --seconds 120     encoder and decoder on single frames
  python train_vae.py video --work W --seconds 120     decoder on clips, encoder frozen

The encoder uses only the last temporal tap of its convolutions (the others stay zero): latent frame i is the code of
video frame 4i, so clips are drawn and encoded at every fourth frame only. The decoder learns the frames between from a
few temporal convolutions; together they see fewer latent frames of the past than a training clip has, so that long films
do not drift.
"""
import argparse
import copy
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from common import Average, Clock, Group, Log, Optimiser, budget, load_weights, rate, save, weights
from data import Pictures, draw_clips, photographs
from models import CausalConv3d, LATENT_MEAN, LATENT_STD, VAE
from vae_init import transform_codec
import world

BASE = dict(dim=12, encoder_dim=12)
TEMPORAL = ('decoder.conv1', 'decoder.upsamples.3.time_conv', 'decoder.upsamples.4.residual.2',
            'decoder.upsamples.4.residual.6', 'decoder.upsamples.7.time_conv', 'decoder.upsamples.8.residual.2',
            'decoder.upsamples.8.residual.6', 'decoder.upsamples.9.residual.2')
CLIP = 33  # frames of a training clip of the decoder


def build(**sizes):
    vae = VAE(**(sizes or BASE))
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


def sizes_of(state):
    """The widths of a VAE, from its tensors."""
    return dict(dim=state['decoder.head.2.weight'].shape[1], encoder_dim=state['encoder.conv1.weight'].shape[0])


def load(work, device='cpu', name='vae'):
    """The trained VAE; what was saved by `image` until `video` has written its own."""
    path = work / f'ckpt/{name}.pt'
    state = torch.load(path if path.exists() else work / 'ckpt/vae_image.pt')['net']
    return load_weights(build(**sizes_of(state)), state).to(device).eval().requires_grad_(False)


@torch.no_grad()
def widened(vae, dim):
    """The same VAE with a wider decoder that does the same so far: new channels are silent, but what reads them is not
    zero, so that they learn. Channel norms count channels: their gains make up for it."""
    old = vae.state_dict()
    wide = build(dim=dim, encoder_dim=sizes_of(old)['encoder_dim'])
    for name, new in wide.state_dict().items():
        was = old[name]
        if new.shape == was.shape:
            new.copy_(was)
        elif name.endswith('gamma'):
            k = (was.shape[0] / new.shape[0]) ** .5
            new.fill_(k * was.mean()), new[:len(was)].copy_(k * was)
        else:
            parts = 3 if 'to_qkv' in name else 2 if 'time_conv' in name else 1
            for n, (own, given) in enumerate(zip(new.chunk(parts), was.chunk(parts))):
                if parts == 3 and n == 0:  # attention divides by the root of its channels
                    given = given * (len(own) / len(given)) ** .5
                own[len(given):] = 0
                if new.dim() == 1:
                    own[:len(given)] = given
                else:
                    own[:len(given), :given.shape[1]] = given
    return wide


def loss_of(got, want, squares=0.):
    """Squares and magnitudes with gradients and a coarse scale; the share `squares` of it is squares alone. [N,3,H,W]."""
    d = got - want
    if squares:
        return squares * 40 * d.square().mean() + (1 - squares) * loss_of(got, want)
    edges = (d[..., 1:] - d[..., :-1]).abs().mean() + (d[..., 1:, :] - d[..., :-1, :]).abs().mean()
    return d.abs().mean() + .3 * edges + .5 * F.avg_pool2d(d, 4).abs().mean() + 6 * d.square().mean()


def psnr(got, want):
    return (10 * torch.log10(4 / (got.clamp(-1, 1) - want).square().mean((1, 2, 3)))).mean().item()


class Frames:
    """Single frames as bytes on the device: rendered scenes in one half, photographs and textures in the other."""
    SHAPE = (144, 256)

    def __init__(self, group, count, photos, seed, split='train'):
        self.device, self.rng, self.split = group.device, np.random.default_rng([seed, group.rank]), split
        self.pictures = Pictures(photos, self.device, seed * 100 + group.rank)
        self.rows = [torch.zeros(count, 3, 144, 256, dtype=torch.uint8, device=self.device),
                     torch.zeros(count, 3, *world.pictures.canvas_size(*self.SHAPE), dtype=torch.uint8, device=self.device)]
        self.next = 0
        for _ in range(-(-count // 8)):
            self.add()

    @torch.no_grad()
    def add(self, count=8):
        at = slice(self.next, min(self.next + count, len(self.rows[0])))
        n = at.stop - at.start
        moments = sorted(float(self.rng.uniform(0, 80)) for _ in range(2))
        scenes = world.sample_scenes(self.rng, -(-n // 2), self.split)
        drawn = world.render(scenes, moments, 81, *self.SHAPE, self.device).flatten(0, 1)[:n]
        self.rows[0][at] = (drawn.clamp(0, 1) * 255).round().byte()
        drawn = self.pictures(n, *self.SHAPE, shares=(.75, .25, 0.))
        self.rows[1][at] = (drawn.clamp(0, 1) * 255).round().byte()
        self.next = at.stop % len(self.rows[0])

    def draw(self, count, height, width):
        """[count,3,height,width] in -1..1, both kinds in turn."""
        out = []
        for kind in (0, 1):
            pool = self.rows[kind]
            for i in self.rng.integers(len(pool), size=(count + 1 - kind) // 2):
                y = int(self.rng.integers(pool.shape[-2] - height + 1))
                x = int(self.rng.integers(pool.shape[-1] - width + 1))
                piece = pool[i, :, y:y + height, x:x + width]
                out.append(piece.flip(-1) if self.rng.random() < .5 else piece)
        return torch.stack(out).float() / 127.5 - 1


def decode_frame(vae, mean):
    return vae.decoder(vae.conv2(mean))[:, :, 0]


def train_image(args, group):
    frames = Frames(group, args.pool, photographs(args.photos), 1)
    test = Frames(group, 16, photographs(args.photos), 2, 'held')
    test = [(test.rows[k][:, :, :144, :256].float() / 127.5 - 1) for k in (0, 1)]
    path = args.work / 'ckpt/vae_image_state.pt'
    state = torch.load(path, weights_only=False) if path.exists() else None
    vae = build()
    if state:
        vae.load_state_dict(state['net'])
    elif group.main:
        torch.set_num_threads(args.threads)
        transform_codec(vae, frames.draw(200, 64, 64).cpu())
    vae.to(group.device)
    group.same(vae)
    ema = Average(vae, .998)
    step, spent = (state['step'], state['spent']) if state else (0, 0.)
    if state:
        ema.net.load_state_dict(state['ema'])
        ema.n = step
    optimiser, clock = Optimiser([vae], args.rate, group), Clock(budget(args) + spent, spent, group)
    log = Log(args.work / 'logs/vae_image.csv', ['step', 'seconds', 'loss', 'kl', 'psnr_scene', 'psnr_photo'], not group.main)
    sums, n = torch.zeros(2, device=group.device), 0
    while (progress := clock.progress()) < 1:
        whole = step % 2
        x = frames.draw(args.batch // 2 if whole else args.batch, *(args.whole if whole else (args.crop, args.crop)))
        mu, logvar = vae.moments(x[:, :, None])
        logvar = logvar.clamp(-12, 4)
        kl = .5 * (mu.square() + logvar.exp() - 1 - logvar).mean()
        loss = loss_of(decode_frame(vae, mu + (.5 * logvar).exp() * torch.randn_like(mu)), x)
        (loss + args.kl * kl).backward()
        optimiser.step(rate(progress, step, 100, .3))
        ema.update()
        sums += torch.stack([loss, kl]).detach()
        step, n = step + 1, n + 1
        if step % 4 == 0:
            frames.add()
        if step % args.every == 0 and group.main:
            with torch.no_grad():
                quality = [psnr(decode_frame(ema.net, ema.net.moments(x[:, :, None])[0]), x) for x in test]
            log(step, int(clock.spent), *(sums / n).tolist(), *quality)
            sums, n = torch.zeros(2, device=group.device), 0
            save(path, net=vae.state_dict(), ema=ema.net.state_dict(), step=step, spent=clock.spent)
    if group.main:
        fold(ema.net, frames)
        save(args.work / 'ckpt/vae_image.pt', net=weights(ema.net))


@torch.no_grad()
def fold(vae, frames):
    """Folds an affine map into conv1 and conv2 so that latents have the mean and deviation Wan's constants expect."""
    mu = torch.cat([vae.moments(frames.draw(24, 144, 256)[:, :, None])[0] for _ in range(12)])
    mean, std = mu.mean((0, 2, 3, 4)), mu.std((0, 2, 3, 4))
    z = len(mean)
    print('latent deviation before folding', [round(v, 3) for v in std.tolist()])
    k = torch.tensor(LATENT_STD, device=mu.device) / std
    shift = torch.tensor(LATENT_MEAN, device=mu.device) - mean * k
    vae.conv1.weight[:z] *= k.view(-1, 1, 1, 1, 1)
    vae.conv1.bias[:z] = vae.conv1.bias[:z] * k + shift
    vae.conv2.bias -= (vae.conv2.weight[:, :, 0, 0, 0] @ (shift / k))
    vae.conv2.weight /= k.view(1, -1, 1, 1, 1)


class Clips:
    """Whole clips as bytes on the device, scenes and stills in turn."""

    def __init__(self, group, count, photos, seed, split='train', shape=(144, 256), chunk=8):
        self.device, self.rng, self.split = group.device, np.random.default_rng([seed, group.rank]), split
        self.pictures, self.shape = Pictures(photos, self.device, seed * 100 + group.rank), shape
        self.rows = torch.zeros(count, 3, CLIP, *shape, dtype=torch.uint8, device=self.device)
        self.next, self.turn, self.chunk = 0, 0, chunk
        for _ in range(-(-count // chunk)):
            self.add()

    @torch.no_grad()
    def add(self):
        at = slice(self.next, min(self.next + self.chunk, len(self.rows)))
        n, kind = at.stop - at.start, ('scene', 'still')[self.turn % 2]
        items = world.sample_stills(self.rng, n) if kind == 'still' else world.sample_scenes(self.rng, n, self.split)
        total = int(self.rng.choice([33, 49, 81, 81, 81, 121]))
        first = 4 * int(self.rng.integers(0, (total - CLIP) // 4 + 1))
        clips = draw_clips(items, kind, range(first, first + CLIP), total, *self.shape, self.device, self.pictures)
        self.rows[at] = (clips * 255).round().byte().transpose(1, 2)
        self.next, self.turn = at.stop % len(self.rows), self.turn + 1

    def draw(self, count, size):
        out = []
        for i in self.rng.integers(len(self.rows), size=count):
            y = 8 * int(self.rng.integers((self.rows.shape[-2] - size) // 8 + 1))
            x = 8 * int(self.rng.integers((self.rows.shape[-1] - size) // 8 + 1))
            piece = self.rows[i, :, :, y:y + size, x:x + size]
            out.append(piece.flip(-1) if self.rng.random() < .5 else piece)
        return torch.stack(out).float() / 127.5 - 1


def train_video(args, group):
    photos = photographs(args.photos)
    clips = Clips(group, args.pool, photos, 3)
    test = Clips(group, 8, photos, 4, 'held', chunk=4).rows[..., 40:104, 60:188].float() / 127.5 - 1
    known = args.work / 'ckpt/vae.pt'
    state = torch.load(known if args.go_on and known.exists() else args.work / 'ckpt/vae_image.pt')['net']
    vae = load_weights(build(**sizes_of(state)), state)
    if args.decoder > sizes_of(state)['dim']:
        vae = widened(vae, args.decoder)
    with torch.no_grad():  # start by fading from one latent frame to the next
        for name, m in vae.decoder.named_modules():
            if name.endswith('time_conv') and not (args.go_on and known.exists()):
                half = m.weight[:m.in_channels]
                half[:, :, 1], half[:, :, 2] = half[:, :, 2] / 2, half[:, :, 2] / 2
    path = args.work / 'ckpt/vae_video_state.pt'
    state = torch.load(path, weights_only=False) if path.exists() else None
    step, spent = (state['step'], state['spent']) if state else (0, 0.)
    if state:
        vae.load_state_dict(state['net'])
    vae.to(group.device)
    if args.hold:  # the whole codec, near the latents that the transformers know
        known = copy.deepcopy(vae).requires_grad_(False)
    for part in (vae.conv2,) if args.hold else (vae.encoder, vae.conv1, vae.conv2):  # conv2 holds the folded scales
        part.requires_grad_(False)
    ema = Average(vae, .995)
    if state:
        ema.net.load_state_dict(state['ema'])
        ema.n = step
    still = [m for n, m in (vae if args.hold else vae.decoder).named_modules() if isinstance(m, CausalConv3d) and m.last_tap and m.kernel_size[0] == 3]
    optimiser, clock = Optimiser([vae if args.hold else vae.decoder], args.rate / 2, group), Clock(budget(args) + spent, spent, group)
    log = Log(args.work / 'logs/vae_video.csv', ['step', 'seconds', 'loss', 'psnr_first', 'psnr_on_grid', 'psnr_between', 'psnr_last', 'away'], not group.main)
    frames = Frames(group, 16 * args.pool, photos, 5) if args.first else None
    total, apart, n = torch.zeros((), device=group.device), torch.zeros((), device=group.device), 0
    in_time = lambda v: v.transpose(1, 2).flatten(0, 1)
    while (progress := clock.progress()) < 1:
        x = clips.draw(args.batch, args.crop)
        with torch.set_grad_enabled(args.hold > 0):
            z, away = vae.encode(x), torch.zeros((), device=group.device)
            if args.hold:
                away = (z - known.encode(x)).square().mean()
            z = z + args.noise * torch.randn_like(z) * torch.rand(len(z), 1, 1, 1, 1, device=z.device)
        y = vae.decode(z)
        d = y - x
        first = torch.zeros((), device=group.device)
        if frames:  # a film's first frame is decoded alone
            one = frames.draw(args.stills, args.crop + 32, args.crop + 32)
            first = loss_of(vae.decode(vae.encode(one[:, :, None]))[:, :, 0], one, .9)
        loss = args.first * first + loss_of(in_time(y), in_time(x), args.squares) + .5 * (1 - args.squares) * (d[:, :, 1:] - d[:, :, :-1]).abs().mean()
        (loss + args.hold * away).backward()
        optimiser.step(rate(progress, step, 50, .3))
        with torch.no_grad():
            for m in still:
                m.weight[:, :, :2] = 0
        ema.update()
        step, n, total, apart = step + 1, n + 1, total + loss.detach(), apart + away.detach()
        if step % 8 == 0:
            clips.add()
            if frames:
                frames.add()
        if step % args.every == 0 and group.main:
            with torch.no_grad():
                y = ema.net.decode(ema.net.encode(test))
            p = [psnr(y[:, :, f], test[:, :, f]) for f in range(CLIP)]
            log(step, int(clock.spent), (total / n).item(), p[0], float(np.mean(p[4::4])), float(np.mean(p[2::4])), float(np.mean(p[-8:])), (apart / n).item())
            total, apart, n = torch.zeros((), device=group.device), torch.zeros((), device=group.device), 0
            save(path, net=vae.state_dict(), ema=ema.net.state_dict(), step=step, spent=clock.spent)
            save(args.work / 'ckpt/vae.pt', net=weights(ema.net))
    if group.main:
        save(args.work / 'ckpt/vae.pt', net=weights(ema.net))


if __name__ == '__main__':
    p = argparse.ArgumentParser()
    p.add_argument('stage', choices=['image', 'video'])
    p.add_argument('--work', type=Path, required=True)
    p.add_argument('--photos', type=Path)
    p.add_argument('--seconds', type=float, default=300)
    p.add_argument('--until', type=float, help='stop at this time (seconds since 1970)')
    p.add_argument('--pool', type=int)
    p.add_argument('--batch', type=int)
    p.add_argument('--crop', type=int)
    p.add_argument('--whole', type=int, nargs=2, default=(144, 256))
    p.add_argument('--hold', type=float, default=0., help='train the encoder as well, with this weight on the squared distance from its latents of before')
    p.add_argument('--first', type=float, default=0., help='weight of single frames, as first ones are decoded: pictures and rendered ones')
    p.add_argument('--stills', type=int, default=16, help='how many of them at a step')
    p.add_argument('--rate', type=float, default=3e-3)
    p.add_argument('--go_on', action='store_true', help='the decoder from W/ckpt/vae.pt; its latents stay what they are')
    p.add_argument('--decoder', type=int, default=0, help='widen the decoder to so many channels first')
    p.add_argument('--squares', type=float, default=0., help='share of the loss on clips that is squares alone (what PSNR counts)')
    p.add_argument('--kl', type=float, default=3e-4)
    p.add_argument('--noise', type=float, default=.1)
    p.add_argument('--every', type=int, default=100)
    p.add_argument('--threads', type=int, default=8)
    args, group = p.parse_args(), Group()
    torch.manual_seed(group.rank)
    torch.backends.cudnn.benchmark = True
    image = args.stage == 'image'
    args.pool, args.batch = args.pool or (1600 if image else 160), args.batch or (32 if image else 8)
    args.crop = args.crop or (128 if image else 96)
    (train_image if image else train_video)(args, group)
    group.close()
