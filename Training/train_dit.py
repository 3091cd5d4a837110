"""The transformers, by flow matching at the sampler's own noise levels.

  python train_dit.py --work W --name t2v --minutes 30                           teacher, subsets of latent frames
  python train_dit.py --work W --name joint --init t2v --expert joint --peers 2 --rank 0|1   both tasks in one net
  python train_dit.py --work W --name t2v_sla --init joint --topk 0.25 --frames 0 ...        whole clips with SLA
  python train_dit.py --work W --name i2v_high --init t2v_sla --expert high ...  image to video
  python train_dit.py --work W --name i2v_low --init t2v_sla --expert low ...

`joint` trains text to video (conditioning channels zero) and image to video in one 36-channel net, which is later split.
With --peers, independent processes (one a core) exchange and average their weights every few steps.

A four-step sampler visits only four noise levels, and the first one is pure noise. Training does the same: nearly all
samples sit at those levels, and the input of the first one is noise alone, exactly as in sampling; with the same caption
the answer there is the mean film. RoPE is relative, so a transformer fed with noise does not know where a token is until
it has learned to look for the borders; a small auxiliary loss (token position from an inner layer) teaches that first.
"""
import argparse
from pathlib import Path

import numpy as np
import torch
import torch.nn as nn

from common import Average, Clock, Log, Muon, save
from make_latents import attributes, item, open_maps
from models import DiT
from train_vae import build as build_vae
import train_text
import world

SIZE = dict(dim=256, ffn=512, heads=2, layers=5, text_dim=128)
TIMES = {80: [0.9876543, 0.9337811, 0.8528954, 0.6089790], 200: [0.9950249, 0.9337811, 0.8528954, 0.6089790]}


def timestep(t):
    return (t.float() * 1000).bfloat16().float()


def initialise(net):
    """Starts as v = x: orthogonal patch embedding, its transpose as head, and a constant that keeps the norms even."""
    dim, n = net.patch_embedding.weight.shape
    with torch.no_grad():
        basis = torch.randn(dim, n + 2)
        basis[:, 0] = 1
        basis = torch.linalg.qr(basis)[0]
        embed, constant = basis[:, 1:n + 1], basis[:, n + 1]
        net.patch_embedding.weight.copy_(embed)
        net.patch_embedding.bias.copy_(constant * (dim - n) ** .5)
        net.head.head.weight.copy_(embed.view(dim, 16, 2, 2).permute(2, 3, 1, 0).reshape(64, dim))
        net.head.head.bias.zero_()
        net.head.modulation.zero_()
        for block in net.blocks:
            block.modulation.normal_(std=.02)
            block.modulation[:, [2, 5]] += .5
            for linear in (block.self_attn.o, block.cross_attn.o, block.ffn[2]):
                linear.weight *= .5
                linear.bias.zero_()
            proj = block.self_attn.attn_op.local_attn.proj_l
            proj.weight.zero_(), proj.bias.zero_()
        # padding rows are one strong key; queries start by looking away from it
        pad = net.text_embedding(torch.zeros(1, net.text_embedding[0].in_features))
        for block in net.blocks:
            cross = block.cross_attn
            key = cross.norm_k(cross.k(pad))[0]
            cross.q.bias.copy_(-key * .6)
        net.time_projection[1].weight *= .3
    return net


def narrow(state):
    """The text-to-video part of 36-channel weights."""
    return state | {'patch_embedding.weight': state['patch_embedding.weight'][:, :64].clone()}


def widen(state):
    """T2V weights for 36 input channels: mask and image columns start small."""
    w = state['patch_embedding.weight']
    extra = torch.zeros(w.shape[0], 20 * 4)
    extra[:, 16:] = .3 * torch.linalg.qr(torch.randn(w.shape[0], 64))[0]
    return state | {'patch_embedding.weight': torch.cat([w, extra], 1)}


def focus(kind, index, gain=4.):
    """[21,18,32]: one, and more around the thing."""
    weights = torch.ones(21, 18, 32)
    if kind == 'scene':
        scene = item(kind, index)
        y, x = torch.meshgrid(torch.arange(18) * 8. + 4, torch.arange(32) * 8. - 124, indexing='ij')
        for k in range(21):
            cx, cy = scene.position(4 * k)
            weights[k] += gain * torch.exp(-(((x - cx) ** 2 + (y - cy) ** 2) / 30 ** 2) ** 2)
    return weights


class Data:
    def __init__(self, work, kinds, capacity=4000):
        self.maps = {k: open_maps(work, k, capacity) for k in kinds}
        self.attributes = {k: {} for k in kinds}
        self.refresh()

    def refresh(self):
        self.ready = {k: np.flatnonzero(m[1]) for k, m in self.maps.items()}

        for kind, ready in self.ready.items():
            for i in ready:
                if i not in self.attributes[kind]:
                    self.attributes[kind][i] = attributes(kind, i)
        self.simple = [i for i in self.ready['scene'] if (a := self.attributes['scene'][i])['camera'] == 'still'
                       and not a['snowfall'] and not a['fade']]
        self.focus = {}

    def draw(self, rng, kind, frames, simple=False):
        """Latent frames, attributes and a weight map that stresses the moving thing."""
        i = int(rng.choice(self.simple if simple else self.ready[kind]))
        z = torch.from_numpy(np.asarray(self.maps[kind][0][i][:, list(frames)], np.float32))
        if (kind, i) not in self.focus:
            self.focus[kind, i] = focus(kind, i)
        return z, self.attributes[kind][i], self.focus[kind, i][list(frames)]


class Texts:
    def __init__(self, work):
        self.tokenizer = train_text.Tokenizer(work / 'tokenizer')
        s = torch.load(work / 'ckpt/text.pt')
        self.net = train_text.build(s['pieces']).eval()
        self.net.load_state_dict({k: v.bfloat16().float() for k, v in s['net'].items()})

    @torch.no_grad()
    def __call__(self, texts):
        ids, mask = self.tokenizer(texts)
        return self.net(ids, mask), mask.sum(1)


@torch.no_grad()
def channel_weights(vae, z):
    """How much each latent channel matters to the decoded picture; square root, mean one."""
    z = z[:, :, None]
    base, out = vae.decode(z), []
    for c in range(z.shape[1]):
        moved = z.clone()
        moved[:, c] += .3 * torch.randn_like(moved[:, c])
        out.append((vae.decode(moved) - base).square().mean())
    w = torch.stack(out).sqrt()
    return w / w.mean()


@torch.no_grad()
def grey_latent(vae):
    return vae.encode(torch.zeros(1, 3, 1, 144, 256))[0, :, 0]


def conditioning(first, grey, frames):
    """y [20,T,H,W]: mask (ones in latent frame 0) and image latent."""
    t = len(frames)
    y = torch.zeros(20, t, *grey.shape[1:])
    y[4:] = grey[:, None]
    for i, f in enumerate(frames):
        if f == 0:
            y[:4, i], y[4:, i] = 1, first
    return y


def choose_frames(rng, count):
    last = 20 if rng.random() < .85 else int(rng.integers(8, 20))
    if not count or count >= last + 1:
        return tuple(range(last + 1))
    return (0, *sorted(rng.choice(np.arange(1, last), count - 2, replace=False).tolist()), last)


def main(args):
    work = args.work
    i2v = bool(args.expert)
    times = TIMES[200 if i2v else 80]
    times = {'high': times[:2], 'low': times[2:]}.get(args.expert, times)
    net = DiT(in_dim=36 if i2v else 16, **SIZE)
    label = args.name + (f'_r{args.rank}' if args.rank else '')
    state_path = work / f'ckpt/{label}_state.pt'
    step, spent = 0, 0.
    state = None
    if state_path.exists():
        state = torch.load(state_path, weights_only=False)
        net.load_state_dict(state['net'])
        step, spent = state['step'], state['spent']
        exchanged = [p for r in range(args.peers) if (p := work / f'ckpt/{args.name}_peer{r}.pt').exists()]
        if exchanged:
            weights = [torch.load(p)['net'] for p in exchanged]
            net.load_state_dict({k: sum(w[k] for w in weights) / len(weights) for k in weights[0]})
    elif args.init:
        weights = torch.load(work / f'ckpt/{args.init}.pt')['net']
        columns = weights['patch_embedding.weight'].shape[1]
        net.load_state_dict(widen(weights) if i2v and columns == 64 else weights if i2v or columns == 64 else narrow(weights))
    else:
        initialise(net)
    ema = Average(net, args.ema)
    peers = [work / f'ckpt/{args.name}_peer{r}.pt' for r in range(args.peers)]
    position = nn.Linear(SIZE['dim'], 3)
    if args.init and (work / f'ckpt/{args.init}_state.pt').exists():
        position.load_state_dict(torch.load(work / f'ckpt/{args.init}_state.pt', weights_only=False)['position'])
    inner = []
    net.blocks[args.tap].register_forward_hook(lambda m, i, o: inner.append(o))
    matrices = [p for n, p in net.named_parameters() if n.startswith('blocks.') and p.dim() == 2]
    chosen = {id(p) for p in matrices}
    other = [p for p in net.parameters() if id(p) not in chosen] + [*position.parameters()]
    if args.muon:
        opts = [Muon(matrices, args.lr), torch.optim.AdamW(other, args.lr, betas=(.9, .98), weight_decay=0., fused=True)]
    else:
        opts = [torch.optim.AdamW([{'params': matrices, 'weight_decay': .02}, {'params': other, 'weight_decay': 0.}],
                                  args.lr, betas=(.9, .98), fused=True)]
    if state:
        ema.net.load_state_dict(state['ema']), [o.load_state_dict(v) for o, v in zip(opts, state['opts'])], position.load_state_dict(state['position'])
        ema.n = step
    data, texts = Data(work, ['scene', 'still'] if i2v else ['scene']), Texts(work)
    vae = build_vae()
    vae.load_state_dict(torch.load(work / 'ckpt/vae_image.pt')['net'])
    rng = np.random.default_rng([args.seed, args.rank, step])
    torch.manual_seed((args.seed * 10 + args.rank) * 100000 + step)
    weight = channel_weights(vae, torch.stack([data.draw(rng, 'scene', [10])[0][:, 0] for _ in range(8)]))
    print('channel weights', [round(w, 2) for w in weight.tolist()], 'clips', {k: len(v) for k, v in data.ready.items()}, flush=True)
    weight = weight.view(1, -1, 1, 1, 1)
    grey = grey_latent(vae)
    levels = np.array([args.first if args.expert != 'low' else .5] + [1.] * (len(times) - 1))
    levels[1:] *= (1 - levels[0]) / (len(times) - 1)
    clock = Clock(args.minutes, spent)
    log = Log(work / f'logs/{label}.csv', ['step', 'seconds', 'loss', *[f't{round(t * 1000)}' for t in times], 'position', 'pos_t', 'pos_y', 'pos_x'])
    sums, counts = np.zeros(len(times) + 5), np.zeros(len(times) + 5)
    while clock.progress < 1:
        for opt in opts:
            for g in opt.param_groups:
                g['lr'] = clock.rate(args.lr, step, 20, .05)
        frames = choose_frames(rng, args.frames)
        level = rng.choice(len(times), args.batch, p=levels)
        z, captions, y, t, first, stress = [], [], [], [], [], []
        for b in range(args.batch):
            plain = not i2v or (args.expert == 'joint' and rng.random() < args.plain)  # text to video
            kind = 'still' if not plain and rng.random() < args.stills else 'scene'
            clip, a, focused = data.draw(rng, kind, frames, kind == 'scene' and rng.random() < args.simple)
            z.append(clip), stress.append(focused)
            captions.append(world.caption(a, rng) if rng.random() > .02 else '')
            tt = TIMES[80][0] if plain and level[b] == 0 else times[level[b]]
            pure = level[b] == 0 and args.expert != 'low'
            if not pure and rng.random() < args.spread:
                tt = float(np.clip(tt + rng.uniform(-.04, .04), .5, .97))
            t.append(tt), first.append(pure)
            if i2v:
                y.append(conditioning(clip[:, 0], grey, frames) * (not plain))
        z, t, first = torch.stack(z), torch.tensor(t), torch.tensor(first).view(-1, 1, 1, 1, 1)
        stress, y = weight * torch.stack(stress)[:, None], torch.stack(y) if i2v else None
        text, length = texts(captions)

        def attempt(x, t, rows):
            """Estimate of z from x at t, and its error, for some rows of the batch."""
            tt = t.view(-1, 1, 1, 1, 1)
            v = net(x if y is None else torch.cat([x, y[rows]], 1), timestep(t), text[rows], length[rows], frames, args.topk)
            estimate = x - tt * v
            return estimate, (estimate - z[rows]).square().mul(stress[rows]).mean((1, 2, 3, 4))

        tt = t.view(-1, 1, 1, 1, 1)
        noise = torch.randn_like(z)
        inner.clear()
        estimate, each = attempt(torch.where(first, tt * noise, (1 - tt) * z + tt * noise), t, slice(None))
        loss = each.mean()
        tally = [(int(k), e.item()) for k, e in zip(level, each)]
        if args.rollout and args.expert != 'high':  # later levels from the net's own first estimate, as in sampling
            rows = torch.nonzero(first.flatten()).flatten()[:args.rollout]
            if len(rows):
                later = rng.integers(1, len(times), len(rows))
                t1 = torch.tensor([times[k] for k in later])
                mix = torch.rand(len(rows)).mul(2).sub(1).clamp(min=0).view(-1, 1, 1, 1, 1)
                guess = mix * z[rows] + (1 - mix) * estimate[rows].detach()
                tt = t1.view(-1, 1, 1, 1, 1)
                more = attempt((1 - tt) * guess + tt * torch.randn_like(guess), t1, rows)[1]
                loss = loss + more.sum() / len(each)
                tally += [(int(k), e.item()) for k, e in zip(later, more)]
        grid = torch.stack(torch.meshgrid(torch.tensor(frames) / 10. - 1, torch.linspace(-1, 1, 9), torch.linspace(-1, 1, 16),
                                          indexing='ij'), -1).view(1, -1, 3)
        axes = (position(inner[0]) - grid).square().mean((0, 1))
        where = axes.mean()
        loss = loss + args.position * where
        net.zero_grad(set_to_none=True), position.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.)
        for opt in opts:
            opt.step()
        ema.update(net)
        step += 1
        sums[0] += each.mean().item()
        counts[0] += 1
        for k, value in tally:
            sums[1 + k] += value
            counts[1 + k] += 1
        if len(peers) > 1 and step % args.exchange == 0:
            save(peers[args.rank], net=net.state_dict())
            for path in peers:
                if path != peers[args.rank] and path.exists():
                    other_state = torch.load(path)['net']
                    with torch.no_grad():
                        for k, p in net.state_dict().items():
                            p.lerp_(other_state[k], .5)
        sums[-4:] += [where.item(), *axes.tolist()]
        counts[-4:] += 1
        if step % args.every == 0:
            log(step, int(clock.spent), *[float(s / max(c, 1)) for s, c in zip(sums, counts)])
            sums[:], counts[:] = 0, 0
            data.refresh()
            threads = work / f'threads_{args.name}'
            if threads.exists():
                torch.set_num_threads(int(threads.read_text()))
        if step % (2 * args.every) == 0 or clock.progress >= 1:
            save(state_path, net=net.state_dict(), ema=ema.net.state_dict(), opts=[o.state_dict() for o in opts],
                 position=position.state_dict(), step=step, spent=clock.spent)
            save(work / f'ckpt/{label}.pt', net=ema.net.state_dict(), size=SIZE, step=step)


if __name__ == '__main__':
    p = argparse.ArgumentParser()
    p.add_argument('--work', type=Path, required=True)
    p.add_argument('--name', required=True)
    p.add_argument('--init')
    p.add_argument('--expert', choices=['high', 'low', 'both', 'joint'])
    p.add_argument('--minutes', type=float, required=True)
    p.add_argument('--first', type=float, default=.45, help='share of samples at the first noise level')
    p.add_argument('--simple', type=float, default=.65, help='share of text-to-video samples without camera motion and weather')
    p.add_argument('--peers', type=int, default=1)
    p.add_argument('--rank', type=int, default=0)
    p.add_argument('--exchange', type=int, default=20)
    p.add_argument('--rollout', type=int, default=0, help='samples a step that go on from the first estimate')
    p.add_argument('--plain', type=float, default=.55, help='share of text to video in the joint net')
    p.add_argument('--stills', type=float, default=.6)
    p.add_argument('--frames', type=int, default=4, help='latent frames a sample (0: all)')
    p.add_argument('--batch', type=int, default=4)
    p.add_argument('--topk', type=float, help='use SLA with this share of key blocks')
    p.add_argument('--lr', type=float, default=1e-3)
    p.add_argument('--ema', type=float, default=.997)
    p.add_argument('--spread', type=float, default=.25)
    p.add_argument('--position', type=float, default=.5)
    p.add_argument('--muon', action='store_true')
    p.add_argument('--tap', type=int, default=2, help='block after which the position is read')
    p.add_argument('--seed', type=int, default=0)
    p.add_argument('--every', type=int, default=50)
    p.add_argument('--threads', type=int, default=2)
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    main(args)
