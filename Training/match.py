"""Distribution matching: the student's own films are pulled to where the guided teacher finds films likelier.

  python match.py --work W --mode t2v --teacher t2v --guidance 3 --seconds 450
  python match.py --work W --mode i2v --expert low --teacher i2v --before i2v_high_few --seconds 200

What distil.py teaches is a mean wherever noise leaves several films possible: things become blobs, moves do not happen.
Here the student runs as the sampler does, to one of its four levels, and what it says there is noised again. Two nets
then tell what film that noisy one was: the teacher, guided, knows the films that are wanted; the other, `fake`, is trained
along on the student's films (--fakes steps for each of the student's). Their difference, over the teacher's own distance,
is the gradient on the student's film (`pull`; rCM's score regulariser, DMD2). A critic on the tokens inside the fake net
tells drawn clips from the student's, both noised, and those with another clip's caption too; its gradient is scaled to
--critic of the first one: that is what lets a student pass its teacher. Now and then a pair of distil.py keeps the
student from forgetting films (--keep). Every level is trained, so films of one to three steps are too.
--world asks the student's tokens where in the world their layers are, as its teacher's are asked (train_teacher.py).
"""
import torch
import torch.nn as nn
import torch.nn.functional as F

from common import Average, Clock, Group, Log, Optimiser, budget, load_weights, rate, save, weights
from data import bank_of
import distil
import flow
import nets
import text
import train_teacher
import train_vae


def pull(film, wanted, fake):
    """The gradient on a film: from what the teacher takes its noised form for to what the fake net does, over the mean
    distance of the film from the former. [B,...] each."""
    distance = (film - wanted).abs().flatten(1).mean(1).clamp(min=1e-3)
    return (fake - wanted) / distance.view(-1, *[1] * (film.dim() - 1))


class Critic(nn.Module):
    """How drawn the clip looks whose tokens these are, one answer a token and block."""

    def __init__(self, dim, count, inner=128):
        super().__init__()
        self.heads = nn.ModuleList(nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, inner), nn.SiLU(), nn.Linear(inner, 1)) for _ in range(count))

    def forward(self, tokens):
        """[B,N,dim] of every block -> [B,N,count]."""
        return torch.cat([head(t) for head, t in zip(self.heads, tokens)], -1).float()


class Game:
    """The three nets and what they say of films."""

    def __init__(self, args, group, teacher, student, fake, critic, before=None):
        self.args, self.group, self.sigma = args, group, flow.SIGMA[args.mode]
        self.teacher, self.student, self.fake, self.critic, self.before = teacher, student, fake, critic, before
        self.levels = flow.schedule(4, self.sigma)
        self.own = {'high': [0, 1], 'low': [2, 3]}.get(args.expert, [0, 1, 2, 3])
        self.probed = (len(fake.blocks) // 2, len(fake.blocks) - 1)
        self.empty = (torch.zeros(1, 7, nets.SIZE['text_dim'], device=group.device), torch.zeros(1, dtype=torch.long, device=group.device))

    def velocity(self, net, said, topk=None, guidance=1., rounded=False, inner=None):
        rows, length, y = said
        return nets.Velocity(self.group, net, rows, length, y, topk, guidance, rounded, empty=self.empty, inner=inner)

    def roll(self, z, said, level, topk, inner=None):
        """What the student says at `level` after its own steps before it, with gradient; and what it said on the way. `inner`: a list
        that gets its tokens a third of the way."""
        x, way = self.levels[0] * torch.randn_like(z), []
        first = 0 if self.before is not None or self.own[0] == 0 else self.own[0]
        if first:  # nobody makes the levels before: a drawn clip, noised
            x = (1 - self.levels[first]) * z + self.levels[first] * torch.randn_like(z)
        with torch.no_grad():
            for i in range(first, level):
                net = self.student if i in self.own else self.before
                film = x - self.levels[i] * self.velocity(net, said, topk, rounded=True)(x, self.levels[i])
                if i in self.own:
                    way.append(film)
                x = (1 - self.levels[i + 1]) * film + self.levels[i + 1] * torch.randn_like(z)
        return x - self.levels[level] * self.velocity(self.student, said, topk, rounded=True, inner=inner)(x, self.levels[level]), way

    def inside(self, x, t, said):
        """The fake net's velocity, and its tokens inside."""
        rows, length, y = said
        tokens = []
        with self.group.autocast():
            v = self.fake(x if y is None else torch.cat([x, y], 1), t * 1000, rows, length, probe=tokens, probed=self.probed).float()
        return v, tokens

    def gradient(self, film, said, stress, generator):
        """On the student's film, and figures to log: sizes of both parts, what the critic says."""
        film = film.detach().requires_grad_()
        t = flow.times(len(film), generator, sigma=self.sigma)
        if self.args.high:  # where the camera's move is decided: below, a noised film tells its own
            early = flow.times(len(film), generator, low=.85, sigma=self.sigma)
            t = torch.where(torch.rand(len(film), generator=generator, device=t.device) < self.args.high, early, t)
        at = t.view(-1, 1, 1, 1, 1)
        x = (1 - at) * film + at * torch.randn_like(film)
        with torch.no_grad():
            wanted = x - at * self.velocity(self.teacher, said, guidance=self.args.guidance)(x, t)
        with torch.set_grad_enabled(self.args.critic > 0):
            v, tokens = self.inside(x, t, said)
        first = pull(film.detach(), wanted, (x - at * v).detach()) * stress
        size, more, says = first.square().mean().sqrt(), torch.zeros((), device=film.device), torch.zeros((), device=film.device)
        if self.args.critic > 0:
            with self.group.autocast():
                logits = self.critic(tokens)
            says = logits.mean().detach()
            other, = torch.autograd.grad(F.softplus(-logits).mean(), film)
            more = other.square().mean().sqrt()
            first = first + other * (self.args.critic * size / (more + 1e-12))
        return first, (size, more, says)

    def lesson(self, item, weight, generator, judged):
        """Loss of the fake net on films the student made, and of the critic on these and the clips drawn for the same
        words; figures to log: both losses, share of answers that are right."""
        film, z, rows, length, y, stress = item
        n = len(film)
        t = flow.times(n, generator, sigma=self.sigma)
        at, noise = t.view(-1, 1, 1, 1, 1), torch.randn_like(film)
        x, said = (1 - at) * film + at * noise, (rows, length, y)
        if judged:
            wrong = torch.rand(n, device=film.device, generator=generator) < self.args.mismatch
            turn = lambda v: torch.where(wrong.view(-1, *[1] * (v.dim() - 1)), v.roll(1, 0), v)
            x = torch.cat([x, (1 - at) * z + at * torch.randn_like(z)])
            said = (torch.cat([rows, turn(rows)]), torch.cat([length, turn(length)]), None if y is None else torch.cat([y, y]))
            v, tokens = self.inside(x, torch.cat([t, t]), said)
            with self.group.autocast():
                logits = self.critic(tokens)
            sign = torch.cat([-torch.ones_like(t), 1 - 2 * wrong.float()])[:, None, None]
            critic = F.softplus(-sign * logits).mean() + 1e-3 * logits.square().mean()
            good = ((sign * logits) > 0).float().mean()
        else:
            v, critic, good = self.inside(x, t, said)[0], torch.zeros((), device=film.device), torch.zeros((), device=film.device)
        error = ((v[:n] - (noise - film)).square() * (weight * stress)).mean()
        return error + critic, (error.detach(), critic.detach(), good)


def main(args):
    group = Group(apart=args.apart)
    torch.manual_seed(args.seed * 100 + group.rank)
    generator = torch.Generator(group.device).manual_seed(args.seed * 100 + group.rank)
    ckpt = args.work / 'ckpt'
    vae = train_vae.load(args.work, group.device)
    teacher = nets.load(ckpt / f'{args.teacher}.pt', args.mode, group.device).eval().requires_grad_(False)
    path, aside = ckpt / f'{args.name}.pt', ckpt / f'{args.name}_game.pt'
    begun = torch.load(path) if path.exists() else {'step': 0}
    student = nets.grown(nets.load(path if path.exists() else ckpt / f'{args.init}.pt', args.mode), args.layers).to(group.device)
    fake = nets.load(aside if aside.exists() else ckpt / f'{args.teacher}.pt', args.mode, group.device)
    critic = Critic(nets.SIZE['dim'], 2).to(group.device)
    if aside.exists():
        critic.load_state_dict({k: v.float() for k, v in torch.load(aside)['critic'].items()})
    group.same(student), group.same(fake), group.same(critic)
    before = nets.load(ckpt / f'{args.before}.pt', args.mode, group.device).eval().requires_grad_(False) if args.before else None
    reader = nets.load_text(args.work, group.device).eval().requires_grad_(False)
    for p in [p for n, p in fake.named_parameters() if 'proj_l' in n]:
        p.requires_grad_(False)  # runs dense
    ema = Average(student, args.ema)
    optimiser, other = Optimiser([student], args.rate, group), Optimiser([fake, critic], args.fake_rate, group)
    probe = nn.Linear(nets.SIZE['dim'], train_teacher.ASKED).to(group.device)
    group.same(probe)
    asking = Optimiser([probe], 4e-3, group)
    step = begun['step']
    bank = bank_of(args, group, vae, args.seed + 100 * len(args.name) + step)
    bank.fill(args.fill)
    weight = train_teacher.channel_weights(vae, bank.draw(3000, 0)[0][:, :, 1][:6])
    group.average([weight])
    for net in (student, teacher, fake, before):
        if net is not None:
            nets.compiled(net, args.compile)
    game = Game(args, group, teacher, student, fake, critic, before)
    paths, shelf, recent = distil.Paths(args, group, bank, teacher, student, reader), distil.Shelf(args.shelf, bank.common), []
    clock = Clock(budget(args, args.fill), 0., group)
    names = ['pull', 'push', 'says', *[f'p{i}' for i in game.own], 'fake', 'critic', 'good', 'keep', 'world']
    log = Log(args.work / f'logs/{args.name}.csv', ['step', 'seconds', *names, 'norm', 'fake_norm'], not group.main)
    sums, counts = torch.zeros(len(names), device=group.device), torch.zeros(len(names))
    norm, seen = torch.zeros(()), distil.written(args)

    def note(name, value):
        sums[names.index(name)] += value.detach()
        counts[names.index(name)] += 1

    def keep():
        save(path, net=weights(ema.net), size=dict(nets.SIZE, layers=len(student.blocks)), step=step)
        save(aside, net=weights(fake), critic=weights(critic), size=dict(nets.SIZE, layers=len(fake.blocks)))

    alone = 0 if aside.exists() else args.alone
    while (progress := clock.progress()) < 1:
        if args.follow and step % 5 == 0 and distil.written(args) != seen:
            seen = distil.written(args)
            load_weights(teacher, torch.load(ckpt / f'{args.follow}.pt')['net'])
            print(f'{progress:.2f}: a new teacher', flush=True)
        z, ids, length, picked, b, first, stress = bank.draw(args.tokens)
        moves, inner = bank.moves, [] if args.world else None
        rows = text.encode(reader, ids, length)
        y = bank.conditioning(first, picked) if args.mode == 'i2v' else None
        said = (rows, length, y)
        if y is not None:
            stress = stress.expand(-1, -1, *z.shape[2:]).clone()
            stress[:, :, 0] *= args.first
            stress = stress / stress.mean()
        topk = args.topks[int(bank.common.integers(len(args.topks)))] or None
        level = game.own[int(bank.common.choice(len(game.own), p=args.shares if len(game.own) == 4 else [.5, .5]))]
        with torch.set_grad_enabled(not alone):
            film, way = game.roll(z, said, level, topk, inner)
        if args.world:
            lost = (probe(inner.pop().float()) - train_teacher.world_places(moves, b, group.device)).square().mean()
            note('world', lost)
            if alone:
                lost.backward()
                asking.step(1.)
        if not alone:
            g, (size, more, says) = game.gradient(film, said, weight * stress, generator)
            roots = [(film, g / g.numel()), *([(args.world * lost, None)] if args.world else [])]
            torch.autograd.backward(*zip(*roots))  # at once: both go through the same blocks
            for name, value in zip(('pull', 'push', 'says', f'p{level}'), (size, more, says, size)):
                note(name, value)
            if args.keep and step % args.keep == 0:
                if len(shelf.kept) < 8 or step % (8 * args.keep) == 0:
                    for pair in paths.draw():
                        shelf.put(pair)
                t, x, end, *said_then, stress_then = shelf.take()
                v = game.velocity(student, said_then, topk, rounded=True)(x, t)
                error = ((v - (x - end) / t).square() * (weight * stress_then)).mean()
                (args.kept * error).backward()
                note('keep', error)
            if args.world:
                asking.step(rate(progress, step - begun['step'], 1, args.flat))
            norm = optimiser.step(rate(progress, step - begun['step'], args.warmup, args.flat))
            ema.update()
            step += 1
            group.meet(step, student, fake, critic, probe, ema.net)
        recent = ([[f.detach(), z, rows, length, y, stress] for f in (film, *way)] + recent)[:args.recent]
        for k in range(args.fakes):
            item = recent[0 if k == 0 else int(bank.common.integers(len(recent)))]
            loss, (error, judged, good) = game.lesson(item, weight, generator, k == 0 and args.critic > 0)
            loss.backward()
            fake_norm = other.step(1. if not alone else 1.5)
            note('fake', error)
            if k == 0:
                note('critic', judged), note('good', good)
        bank.refresh(args.refresh)
        if alone:
            alone -= 1
            continue
        if step % args.every == 0 and group.main:
            log(step, int(clock.spent), *(sums.cpu() / counts.clamp(min=1)).tolist(), norm.item(), fake_norm.item())
            sums.zero_(), counts.zero_()
        if step % (2 * args.every) == 0 and group.main:
            keep()
    group.meet(0, ema.net)
    if group.main:
        keep()
    bank.close()
    group.close()


def options():
    p = distil.options()
    p.add_argument('--before', help='i2v: the net that makes the levels before this expert')
    p.add_argument('--fakes', type=int, default=2, help='steps of the fake net for each of the student')
    p.add_argument('--fake_rate', type=float, default=8e-4)
    p.add_argument('--alone', type=int, default=40, help='rounds of the fake net before the student begins')
    p.add_argument('--recent', type=int, default=12, help='batches of films that the fake net goes on seeing')
    p.add_argument('--critic', type=float, default=.4, help="size of the critic's gradient beside the other (0: none)")
    p.add_argument('--mismatch', type=float, default=.15, help="share of drawn clips that the critic sees with another's caption")
    p.add_argument('--high', type=float, default=0., help='share of the films that are noised to t above 0.85 before the nets tell what they were')
    p.add_argument('--keep', type=int, default=3, help='every so many steps a pair of distil.py (0: never)')
    p.add_argument('--kept', type=float, default=.2, help='its weight')
    p.add_argument('--shares', type=float, nargs=4, default=(.22, .26, .26, .26), help='of the levels')
    p.set_defaults(rate=5e-4, ema=.98, tokens=48000, layers=0, topks=(.1, .5, .1, .5, 0.), shelf=60, guidance=3., warmup=20, every=20, flat=.4)
    return p


if __name__ == '__main__':
    arguments = options().parse_args()
    arguments.teacher = arguments.teacher or arguments.mode
    arguments.name = arguments.name or '_'.join(filter(None, (arguments.mode, arguments.expert, 'few')))
    main(arguments)
