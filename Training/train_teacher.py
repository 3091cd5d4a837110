"""The teachers: flow matching with dense attention at all noise levels.

  python train_teacher.py --work W --mode t2v --seconds 400            with the text encoder, unless --freeze_text
  python train_teacher.py --work W --mode i2v --init t2v --seconds 400

In the first part of the time a sample has only a few latent frames of its film (always the first and the last), which
makes five times as many samples a second; then come whole films. A linear probe behind the second block is trained to
tell where a token is: RoPE is relative, and fed with noise alone a transformer must infer position from the borders of the
film, which it learns in a few hundred steps when asked to and in many thousands when not. --world asks in the same way where in
the world the layers are that a token shows, which the camera's move and the time decide. The probes are not kept.
"""
import argparse
from pathlib import Path

import torch
import torch.nn as nn

from common import Average, Clock, Group, Log, Optimiser, budget, rate, save, weights
from data import bank_of
import flow
import nets
import text
import train_vae


@torch.no_grad()
def channel_weights(vae, z):
    """[1,C,1,1,1]: how much each latent channel matters to the decoded picture; square root, mean one. z [N,C,h,w]."""
    z = z[:, :, None]
    base, out = vae.decode(z), []
    for c in range(z.shape[1]):
        moved = z.clone()
        moved[:, c] += .3 * torch.randn_like(moved[:, c])
        out.append((vae.decode(moved) - base).square().mean())
    w = torch.stack(out).sqrt()
    w = (w / w.mean()).clamp(.3, 3)
    return (w / w.mean()).view(1, -1, 1, 1, 1)


def places(picked, b, device):
    """[tokens,3] in -1..1: where the tokens of a sample are in time, height and width."""
    t = torch.tensor(picked, device=device) / (b.latents - 1) * 2 - 1
    h, w = (torch.linspace(-1, 1, n // 16, device=device) for n in (b.height, b.width))
    return torch.stack(torch.meshgrid(t, h, w, indexing='ij'), -1).flatten(0, 2)


#: Depths of layers of the world, and lengths in its units, that a token is asked its place by.
DEPTHS, LENGTHS = (.2, .42, .7, 1.), (192., 96., 48., 24.)
ASKED = len(DEPTHS) * (2 + 2 * len(LENGTHS))


def world_places(moves, b, device):
    """[B,tokens,ASKED]: where in the world, not in the frame, the layers are that a token shows; across
    also as angles of waves of these lengths, which tell a window from the next. moves [B,T,3]: pan, tilt, zoom."""
    unit = min(b.height, b.width) / 144
    middles = lambda n: (torch.arange(n // 16, device=device) * 16 + 8 - n / 2) / unit
    x0, y0 = middles(b.width)[None, None, None], middles(b.height)[None, None, :, None]
    pan, tilt, zoom = (v[..., None, None] for v in moves.unbind(-1))
    out = []
    for depth in DEPTHS:
        wide = 1 + (zoom - 1) * (.25 + .75 * depth)
        x, y = x0 / wide + pan * depth + 0 * y0, y0 / wide + tilt * (.2 + .8 * depth) + 0 * x0
        angles = [2 * torch.pi * x / length for length in LENGTHS]
        out += [x / 128, y / 72, *(f(a) for a in angles for f in (torch.sin, torch.cos))]
    return torch.stack(out, -1).flatten(1, 3)


def slow(error, count):
    """[B,C,T,h,w] -> [B]: mean square of what changes slowly in it, the DCT's modes 1 to `count` over time. A pan is a ramp in
    time: most of its error is here, and this is a small part of all error."""
    frames = error.shape[2]
    k = torch.arange(1, min(count, frames - 1) + 1, device=error.device)[:, None]
    basis = (2 / frames) ** .5 * torch.cos(torch.pi * k * (torch.arange(frames, device=error.device) + .5) / frames)
    return torch.einsum('bcthw,kt->bckhw', error, basis).square().sum(2).mean((1, 2, 3)) / frames


def main(args):
    group = Group(apart=args.apart)
    torch.manual_seed(args.seed * 100 + group.rank)
    generator = torch.Generator(group.device).manual_seed(args.seed * 100 + group.rank)
    vae = train_vae.load(args.work, group.device)
    path = args.work / f'ckpt/{args.name}_state.pt'
    state = torch.load(path, weights_only=False) if path.exists() else None
    if args.init:
        net = nets.load(args.work / f'ckpt/{args.init}.pt', args.mode)
    else:
        net = nets.build(args.mode, **dict(nets.SIZE, layers=args.layers))
    reader = nets.load_text(args.work)
    probe = nn.Linear(net.patch_embedding.out_features, 3 + (ASKED if args.world else 0))
    step, spent = (state['step'], state['spent']) if state else (0, 0.)
    if state:
        net.load_state_dict(state['net']), reader.load_state_dict(state['text']), probe.load_state_dict(state['probe'])
    for part in (net, reader, probe):
        part.to(group.device)
        group.same(part)
    reader.requires_grad_(not args.freeze_text)
    ema, ema_text = Average(net, args.ema), Average(reader, args.ema)
    if state:
        ema.net.load_state_dict(state['ema']), ema_text.net.load_state_dict(state['ema_text'])
        ema.n = ema_text.n = step
    sla = [p for n, p in net.named_parameters() if 'proj_l' in n]
    for p in sla:
        p.requires_grad_(False)  # dense attention has no linear branch
    optimiser = Optimiser([net, probe], args.rate, group)
    optimiser_text = None if args.freeze_text else Optimiser([reader], .3 * args.rate, group)
    bank = bank_of(args, group, vae, args.seed + step)
    each = bank.fill(args.fill)
    print(f'{args.name}: {bank.made} clips a process, {1000 * each:.1f} ms a clip', flush=True)
    weight = channel_weights(vae, bank.draw(3000, 0)[0][:, :, 1].to(group.device)[:6])
    group.average([weight])
    print('channel weights', [round(v, 2) for v in weight.flatten().tolist()], flush=True)
    clock = Clock(budget(args, args.fill + spent) + spent, spent, group)
    log = Log(args.work / f'logs/{args.name}.csv', ['step', 'seconds', 'loss', 'high', 'middle', 'low', 'place', 'world', 'norm', 'clips'], not group.main)
    nets.compiled(net, args.compile)
    sums, counts, seen, saved = torch.zeros(6, device=group.device), torch.zeros(6, device=group.device), 0, clock.spent
    yonder = torch.zeros((), device=group.device)
    while (progress := clock.progress()) < 1:
        few = args.few if progress < args.early else None
        z, ids, length, picked, b, first, stress = bank.draw(args.tokens, frames=few)
        n = len(z)
        t = flow.times(n, generator, sigma=flow.SIGMA[args.mode])
        at, noise = t.view(-1, 1, 1, 1, 1), torch.randn_like(z)
        x = (1 - at) * z + at * noise
        rows = text.encode(reader, ids, length)
        blank = torch.rand(n, device=group.device) < args.blank
        rows, length = rows * ~blank[:, None, None], length.masked_fill(blank, 0)
        if args.mode == 'i2v':
            x = torch.cat([x, bank.conditioning(first, picked)], 1)
        inner = []
        with group.autocast():
            v = net(x, t * 1000, rows, length, picked, probe=inner, probed=(1, nets.third(net)) if args.world else (1,)).float()
        away = (v - (noise - z)) * (weight * stress).sqrt()
        error = away.square().mean((1, 2, 3, 4))
        where = (probe(inner[0].float())[..., :3] - places(picked, b, group.device)).square().mean()
        loss = error.mean() + args.place * where
        if args.slow:
            loss = loss + args.slow * slow(away, args.modes).mean()
        if args.world:
            lost = (probe(inner[1].float())[..., 3:] - world_places(bank.moves, b, group.device)).square().mean((1, 2))
            yonder = (lost * ~blank).sum() / (~blank).sum().clamp(min=1)
            loss = loss + args.world * yonder
        loss.backward()
        share = rate(progress, step, args.warmup, args.flat)
        norm = optimiser.step(share)
        ema.update()
        if not args.freeze_text:
            optimiser_text.step(share)
            ema_text.update()
        with torch.no_grad():
            bands = torch.stack([torch.ones_like(t), t > .9, (t <= .9) & (t > .7), t <= .7]).float()
            sums += torch.cat([bands @ error, where[None], yonder[None]])
            counts += torch.cat([bands.sum(1), torch.ones(2, device=group.device)])
        step, seen = step + 1, seen + n * group.size
        group.meet(step, net, probe, reader, ema.net, ema_text.net)
        bank.refresh(args.refresh)
        if step % args.every == 0 and group.main:
            log(step, int(clock.spent), *(sums / counts.clamp(min=1)).tolist(), norm.item(), seen)
            sums.zero_(), counts.zero_()
        if clock.spent - saved > args.save and group.main:
            saved = clock.spent
            keep(args, net, reader, probe, ema, ema_text, step, clock, path)
    group.meet(0, ema.net, ema_text.net)
    if group.main:
        keep(args, net, reader, probe, ema, ema_text, step, clock, path)
    print(f'{bank.made} clips drawn by this process', flush=True)
    bank.close()
    group.close()


def keep(args, net, reader, probe, ema, ema_text, step, clock, path):
    save(path, net=net.state_dict(), text=reader.state_dict(), probe=probe.state_dict(), ema=ema.net.state_dict(),
         ema_text=ema_text.net.state_dict(), step=step, spent=clock.spent)
    size = dict(nets.SIZE, layers=len(net.blocks))
    save(args.work / f'ckpt/{args.name}.pt', net=weights(ema.net), size=size, step=step)
    if not args.freeze_text:
        save(args.work / 'ckpt/text.pt', net=weights(ema_text.net), pieces=len(reader.token_embedding.weight))


def options():
    p = argparse.ArgumentParser()
    p.add_argument('--work', type=Path, required=True)
    p.add_argument('--mode', choices=['t2v', 'i2v'], required=True)
    p.add_argument('--name', help='of the file in W/ckpt (default: the mode)')
    p.add_argument('--init', help='start from this file in W/ckpt')
    p.add_argument('--photos', type=Path)
    p.add_argument('--seconds', type=float, default=600)
    p.add_argument('--until', type=float, help='stop at this time (seconds since 1970)')
    p.add_argument('--fill', type=float, default=15, help='seconds of drawing before the first step')
    p.add_argument('--refresh', type=float, default=.18, help='share of the time for new clips')
    p.add_argument('--bank', type=int, default=6000, help='clips in the bank of a process')
    p.add_argument('--stills', type=float, default=.65, help='share of animated pictures in image to video')
    p.add_argument('--tokens', type=int, default=130000, help='of a batch, each process')
    p.add_argument('--few', type=int, default=7, help='latent frames of early samples')
    p.add_argument('--gain', type=float, default=5., help='additional weight of the thing in the loss')
    p.add_argument('--hard', type=float, default=0., help='share of panning and zooming cameras on top (and half as many spinning things)')
    p.add_argument('--spin', type=float, help='share of spinning things on top (default: half of --hard)')
    p.add_argument('--over', type=float, default=0., help='share of those cameras that pan over the city or the mountains')
    p.add_argument('--mixed', action='store_true', help='more upright and short films')
    p.add_argument('--early', type=float, default=.35, help='share of the time with few frames')
    p.add_argument('--layers', type=int, default=nets.SIZE['layers'])
    p.add_argument('--freeze_text', action='store_true')
    p.add_argument('--blank', type=float, default=.1, help='share of samples without a caption')
    p.add_argument('--place', type=float, default=.1, help='weight of the position probe')
    p.add_argument('--world', type=float, default=0., help='weight of a probe a third of the way through the blocks that asks a token where in the world its layers are')
    p.add_argument('--slow', type=float, default=0., help='additional weight of the slowest changes in time in the loss')
    p.add_argument('--modes', type=int, default=4, help='how many modes of time that is')
    p.add_argument('--rate', type=float, default=2.5e-3)
    p.add_argument('--warmup', type=int, default=60)
    p.add_argument('--flat', type=float, default=.5)
    p.add_argument('--ema', type=float, default=.998)
    p.add_argument('--seed', type=int, default=1)
    p.add_argument('--every', type=int, default=50)
    p.add_argument('--save', type=float, default=40, help='seconds between savings')
    p.add_argument('--chunk', type=int, default=32)
    p.add_argument('--workers', type=int, default=4)
    p.add_argument('--apart', type=int, default=0, help='several processes: average weights after so many steps, not gradients at each')
    p.add_argument('--compile', type=int, default=1)
    p.add_argument('--tiny', action='store_true')
    return p


if __name__ == '__main__':
    arguments = options().parse_args()
    arguments.name = arguments.name or arguments.mode
    main(arguments)
