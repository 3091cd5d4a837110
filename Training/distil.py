"""Distillation to the sampler's four levels: what the many-step flow makes of a noisy film, the student says at once.

  python distil.py --work W --mode t2v --seconds 300
  python distil.py --work W --mode i2v --expert high --seconds 300        the two experts, apart at t = 0.9
  python distil.py --work W --mode i2v --expert low --seconds 300

A consistency model in rCM's sense answers at every level with the end of the probability flow. The sampler visits four
levels only, so the student is trained at these four: the sparse, guided net of train_sla.py is integrated from a level to
the film (13 steps from the top, two-step Adams-Bashforth), and its end is the target at every level that the path passes.
This discrete form needs no derivative of the net along the flow, which the sparse kernel does not offer, and its targets
do not move. Paths begin at pure noise, at noised clips, or at what the student itself made a step before, noised again,
as the sampler does: so it learns to mend its own errors. A path costs as much as four steps of the student, so every pair
of a state and its end is kept a while and seen again (--again). Image to video knows the end of its first latent frame
exactly: it is the picture, and the loss says so, with --first times the weight.
"""
import torch

from common import Average, Clock, Group, Log, Optimiser, budget, load_weights, rate, save, weights
from data import bank_of
import flow
import nets
import text
import train_sla
import train_teacher
import train_vae


class Shelf:
    """Pairs with all that belongs to them, in bfloat16; every process takes the same places."""

    def __init__(self, room, rng):
        self.room, self.rng, self.kept = room, rng, []

    def put(self, item):
        item = [v.bfloat16() if torch.is_tensor(v) and v.dim() == 5 else v for v in item]
        if len(self.kept) < self.room:
            self.kept.append(item)
        else:
            self.kept[int(self.rng.integers(self.room))] = item

    def take(self):
        return [v.float() if torch.is_tensor(v) and v.dim() == 5 else v for v in self.kept[int(self.rng.integers(len(self.kept)))]]


class Paths:
    """Noisy films at the four levels, and where the teacher's flow takes them."""

    def __init__(self, args, group, bank, teacher, student, reader):
        self.args, self.group, self.bank, self.reader = args, group, bank, reader
        self.teacher, self.student, self.sigma = teacher, student, flow.SIGMA[args.mode]
        self.levels, self.marks = flow.levels_through(self.sigma, args.per)
        own = [i for i, t in enumerate(flow.schedule(4, self.sigma)[:4])]
        self.empty = (torch.zeros(1, 7, nets.SIZE['text_dim'], device=group.device),
                      torch.zeros(1, dtype=torch.long, device=group.device))
        self.own = {'high': own[:2], 'low': own[2:]}.get(args.expert, own)

    def velocity(self, net, rows, length, y, rounded):
        topk = self.args.topks[0] or None if net is self.student else self.args.teacher_topk or None
        guidance = 1. if net is self.student else self.args.guidance
        return nets.Velocity(self.group, net, rows, length, y, topk, guidance, rounded, empty=self.empty)

    @torch.no_grad()
    def draw(self):
        """Triples (level, noisy films, ends); the texts, conditioning and weights that belong to them."""
        bank, rng = self.bank, self.bank.common
        z, ids, length, picked, b, first, stress = bank.draw(self.args.tokens)
        rows = text.encode(self.reader, ids, length)
        y = bank.conditioning(first, picked) if self.args.mode == 'i2v' else None
        share = [.3, .2, .25, .25] if len(self.own) == 4 else [.5, .5]
        start = self.own[int(rng.choice(len(self.own), p=share))]
        at = lambda i: self.levels[self.marks[i]]
        noise = lambda: torch.randn_like(z)
        if start == 0:
            x = at(0) * noise()
        elif rng.random() < self.args.own and start - 1 in self.own:
            before = int(rng.integers(self.own[0], start)) if rng.random() < .5 else self.own[0]
            x = at(0) * noise() if before == 0 else (1 - at(before)) * z + at(before) * noise()
            say = self.velocity(self.student, rows, length, y, True)
            for i in range(before, start):
                x = (1 - at(i + 1)) * (x - at(i) * say(x, at(i))) + at(i + 1) * noise()
        else:
            x = (1 - at(start)) * z + at(start) * noise()
        if self.args.single:
            say = nets.Velocity(self.group, self.teacher, rows, length, y, self.args.teacher_topk or None, rounded=True)
            states, places = [x, x - at(start) * say(x, at(start))], {start: 0}
        else:
            states = flow.integrate(self.velocity(self.teacher, rows, length, y, False), x, self.levels[self.marks[start]:])
            places = {i: self.marks[i] - self.marks[start] for i in self.own if i >= start}
        if y is not None:
            states[-1][:, :, 0] = first
            stress = stress.expand(-1, -1, *z.shape[2:]).clone()
            stress[:, :, 0] *= self.args.first
            stress = stress / stress.mean()
        return [(at(i), states[place], states[-1], rows, length, y, stress) for i, place in places.items()]


def written(args):
    """When the net that is followed was last written."""
    path = args.work / f'ckpt/{args.follow}.pt'
    return path.stat().st_mtime if path.exists() else None


def follow(args, teacher, progress, seen):
    """Takes up W/guidance.txt, and in the last part of the time every new version of the teacher to come; returns when the
    one in use was written."""
    chosen = args.work / 'guidance.txt'
    if chosen.exists() and float(chosen.read_text() or args.guidance) != args.guidance:
        args.guidance = float(chosen.read_text())
        print(f'{progress:.2f}: guidance {args.guidance}', flush=True)
    if progress > args.follow_from and written(args) != seen:
        seen = written(args)
        load_weights(teacher, torch.load(args.work / f'ckpt/{args.follow}.pt')['net'])
        print(f'{progress:.2f}: a new teacher', flush=True)
    return seen


def main(args):
    group = Group(apart=args.apart)
    torch.manual_seed(args.seed * 100 + group.rank)
    vae = train_vae.load(args.work, group.device)
    teacher = nets.load(args.work / f'ckpt/{args.teacher}.pt', args.mode, group.device).eval().requires_grad_(False)
    path = args.work / f'ckpt/{args.name}.pt'
    net = nets.load(path if path.exists() else args.work / f'ckpt/{args.init or args.teacher}.pt', args.mode, group.device)
    step = torch.load(path)['step'] if path.exists() else 0
    began, choices = step, nets.watch_choices(net) if args.choice else []
    reader = nets.load_text(args.work, group.device).eval().requires_grad_(False)
    ema, optimiser = Average(net, args.ema), Optimiser([net], args.rate, group)
    bank = bank_of(args, group, vae, args.seed + 100 * len(args.name) + step)
    bank.fill(args.fill)
    weight = train_teacher.channel_weights(vae, bank.draw(3000, 0)[0][:, :, 1][:6])
    group.average([weight])
    nets.compiled(net, args.compile), nets.compiled(teacher, args.compile)
    paths, shelf = Paths(args, group, bank, teacher, net, reader), Shelf(args.shelf, bank.common)
    names = [round(1000 * paths.levels[paths.marks[i]]) for i in paths.own]
    clock = Clock(budget(args, args.fill), 0., group)
    log = Log(args.work / f'logs/{args.name}.csv', ['step', 'seconds', 'loss', *[f't{n}' for n in names], 'dense', 'choice', 'norm'], not group.main)
    sums, counts = torch.zeros(len(names) + 2, device=group.device), torch.zeros(len(names) + 2)
    seen = None
    while (progress := clock.progress()) < 1:
        if args.follow:
            seen = follow(args, teacher, progress, seen)
        fresh = paths.draw()
        for item in fresh:
            shelf.put(item)
        for t, x, end, rows, length, y, stress in fresh + [shelf.take() for _ in range(args.again * len(fresh))]:
            topk = args.topks[int(bank.common.integers(len(args.topks)))]
            dense = not topk
            choices.clear()
            v = nets.Velocity(group, net, rows, length, y, topk or None, rounded=True)(x, t)
            error = ((v - (x - end) / t).square() * (weight * stress)).mean()
            choice = torch.stack(choices).mean() if choices else torch.zeros((), device=group.device)
            (error + args.choice * choice).backward()
            norm = optimiser.step(rate(progress, step - began, args.warmup, .4))
            ema.update()
            step += 1
            group.meet(step, net, ema.net)
            for slot in (0, 1 + names.index(round(1000 * t))) if not dense else (len(names) + 1,):
                sums[slot] += error.detach()
                counts[slot] += 1
            if step % args.every == 0 and group.main:
                log(step, int(clock.spent), *(sums.cpu() / counts.clamp(min=1)).tolist(), choice.item(), norm.item())
                sums.zero_(), counts.zero_()
            if step % (2 * args.every) == 0 and group.main:
                save(path, net=weights(ema.net), size=dict(nets.SIZE, layers=len(net.blocks)), step=step)
        bank.refresh(args.refresh)
    group.meet(0, ema.net)
    if group.main:
        save(path, net=weights(ema.net), size=dict(nets.SIZE, layers=len(net.blocks)), step=step)
    bank.close()
    group.close()


def options():
    p = train_sla.options()
    p.add_argument('--expert', choices=['high', 'low'])
    p.add_argument('--own', type=float, default=.6, help='share of later starts made by the student itself')
    p.add_argument('--single', action='store_true', help='the teacher is a student of before, whose one answer is the end: to use fewer keys, or to keep closer to the picture')
    p.add_argument('--teacher_topk', type=float, default=0., help='of the net that is integrated (0: dense)')
    p.add_argument('--topks', type=float, nargs='+', default=(.1, .1, .1, 0.), help='of the student, drawn at every step (0: dense); the first is that of its own starts')
    p.add_argument('--choice', type=float, default=.05, help='weight of the loss that teaches the choice of blocks')
    p.add_argument('--follow', help='a net in W/ckpt that is still trained: take its place as teacher late, and guidance from W/guidance.txt (one process)')
    p.add_argument('--follow_from', type=float, default=.62, help='from this part of the time')
    p.add_argument('--again', type=int, default=2, help='steps on kept pairs for each fresh one')
    p.add_argument('--shelf', type=int, default=400, help='pairs (of a whole batch) that are kept')
    p.add_argument('--first', type=float, default=4., help='weight of the first latent frame in image to video')
    p.add_argument('--per', type=int, nargs=4, default=(2, 2, 3, 6), help='steps of the flow between the levels')
    p.set_defaults(seconds=600, rate=1e-3, ema=.99, tokens=60000)
    return p


if __name__ == '__main__':
    arguments = options().parse_args()
    arguments.teacher = arguments.teacher or f'{arguments.mode}_sla'
    arguments.guidance = arguments.guidance or 1.
    arguments.name = arguments.name or '_'.join(filter(None, (arguments.mode, arguments.expert, 'few')))
    main(arguments)
