"""Sparse-linear attention and guidance in one net: the student answers with a tenth of the key blocks what the dense
teacher answers with guidance, at all noise levels. `proj_l` starts at zero and is trained with everything else; now and
then the student runs dense, so that both kinds of attention stay in use.

  python train_sla.py --work W --mode t2v --teacher t2v --seconds 100
"""
import torch

from common import Average, Clock, Group, Log, Optimiser, budget, rate, save, weights
from data import bank_of
import flow
import nets
import text
import train_teacher
import train_vae


def main(args):
    group = Group(apart=args.apart)
    torch.manual_seed(args.seed * 100 + group.rank)
    generator = torch.Generator(group.device).manual_seed(args.seed * 100 + group.rank)
    vae = train_vae.load(args.work, group.device)
    teacher = nets.load(args.work / f'ckpt/{args.teacher}.pt', args.mode, group.device).eval().requires_grad_(False)
    path = args.work / f'ckpt/{args.name}.pt'
    net = nets.load(path if path.exists() else args.work / f'ckpt/{args.teacher}.pt', args.mode, group.device)
    step = torch.load(path)['step'] if path.exists() else 0
    reader = nets.load_text(args.work, group.device).eval().requires_grad_(False)
    empty = (torch.zeros(1, 7, nets.SIZE['text_dim'], device=group.device), torch.zeros(1, dtype=torch.long, device=group.device))
    ema, optimiser = Average(net, args.ema), Optimiser([net], args.rate, group)
    bank = bank_of(args, group, vae, args.seed + 100 * len(args.name) + step)
    bank.fill(args.fill)
    weight = train_teacher.channel_weights(vae, bank.draw(3000, 0)[0][:, :, 1][:6])
    group.average([weight])
    nets.compiled(net, args.compile), nets.compiled(teacher, args.compile)
    clock = Clock(budget(args, args.fill), 0., group)
    log = Log(args.work / f'logs/{args.name}.csv', ['step', 'seconds', 'sparse', 'dense', 'high', 'low', 'proj_l', 'norm'], not group.main)
    sums, counts = torch.zeros(4, device=group.device), torch.zeros(4, device=group.device)
    while (progress := clock.progress()) < 1:
        z, ids, length, picked, b, first, stress = bank.draw(args.tokens)
        t = flow.times(len(z), generator, sigma=flow.SIGMA[args.mode])
        at = t.view(-1, 1, 1, 1, 1)
        x = (1 - at) * z + at * torch.randn_like(z)
        with torch.no_grad():
            rows = text.encode(reader, ids, length)
            y = bank.conditioning(first, picked) if args.mode == 'i2v' else None
            want = nets.Velocity(group, teacher, rows, length, y, guidance=args.guidance, empty=empty)(x, t)
        dense = (step + 1) % args.dense == 0
        got = nets.Velocity(group, net, rows, length, y, None if dense else args.topk)(x, t)
        error = ((got - want).square() * (weight * stress)).mean((1, 2, 3, 4))
        error.mean().backward()
        norm = optimiser.step(rate(progress, step, args.warmup, .5))
        ema.update()
        with torch.no_grad():
            kinds = torch.stack([torch.full_like(t, not dense), torch.full_like(t, dense), (t > .9) * (not dense), (t <= .9) * (not dense)]).float()
            sums += kinds @ error
            counts += kinds.sum(1)
        step += 1
        group.meet(step, net, ema.net)
        bank.refresh(args.refresh)
        if step % args.every == 0 and group.main:
            size = torch.stack([l.self_attn.attn_op.local_attn.proj_l.weight.norm() for l in net.blocks]).mean()
            log(step, int(clock.spent), *(sums / counts.clamp(min=1)).tolist(), size.item(), norm.item())
            sums.zero_(), counts.zero_()
            save(path, net=weights(ema.net), size=dict(nets.SIZE, layers=len(net.blocks)), step=step)
    group.meet(0, ema.net)
    if group.main:
        save(path, net=weights(ema.net), size=dict(nets.SIZE, layers=len(net.blocks)), step=step)
    bank.close()
    group.close()


def options():
    p = train_teacher.options()
    p.add_argument('--teacher')
    p.add_argument('--topk', type=float, default=.1)
    p.add_argument('--guidance', type=float, default=0., help='of the teacher (default: 2.5 text to video, 1.4 image to video)')
    p.add_argument('--dense', type=int, default=5, help='every so many steps without the linear branch')
    p.set_defaults(seconds=600, fill=8, bank=3000, rate=1.2e-3, warmup=20, ema=.99, tokens=90000, refresh=.08, every=25)
    return p


if __name__ == '__main__':
    arguments = options().parse_args()
    arguments.teacher = arguments.teacher or arguments.mode
    arguments.guidance = arguments.guidance or {'t2v': 2.5, 'i2v': 1.4}[arguments.mode]
    arguments.name = arguments.name or f'{arguments.mode}_sla'
    main(arguments)
