"""The transformers, by flow matching at the sampler's own noise levels.

  python train_dit.py --work W --name t2v --minutes 60                          text to video, parts of clips
  python train_dit.py --work W --name i2v --image --minutes 60                  image to video, parts of clips
  python train_dit.py --work W --name t2v_sla --init t2v --topk 0.25 --frames 0 --batch 1 ...   whole clips with SLA
  python train_dit.py --work W --name i2v_high --init i2v_sla --image --levels high ...         one expert

A four-step sampler visits only four noise levels, and the first one is pure noise. Training does the same: nearly all
samples sit at those levels, and the input of the first one is noise alone, exactly as in sampling; with the same caption
the answer there is the mean film, which in this world is nearly the film itself. See initialise.py for the start.
"""
import argparse
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn as nn

from common import Average, Clock, Log, Muon, save
from initialise import initialise
from make_latents import attributes, item, open_maps
from models import DiT
from train_vae import build as build_vae
import train_text
import world

SIZE = dict(dim=256, ffn=512, heads=2, layers=5, text_dim=128)
TIMES = {80: [0.9876543, 0.9337811, 0.8528954, 0.6089790], 200: [0.9950249, 0.9337811, 0.8528954, 0.6089790]}


def timestep(t):
    return (t.float() * 1000).bfloat16().float()


def focus(kind, index, gain):
    """[21,18,32]: one, and more around the thing."""
    weights = torch.ones(21, 18, 32)
    if kind == 'scene':
        scene = item(kind, index)
        y, x = torch.meshgrid(torch.arange(18) * 8. + 4, torch.arange(32) * 8. - 124, indexing='ij')
        for k in range(21):
            cx, cy = scene.position(4 * k)
            weights[k] += gain * torch.exp(-(((x - cx) ** 2 + (y - cy) ** 2) / 34 ** 2) ** 2)
    return weights


def offsets(kind, index, attributes, frames, clip=3.):
    """[T,9,16,2] in tokens and a weight: to the thing (scene), or to what the first frame shows there (still)."""
    y, x = torch.meshgrid(torch.arange(9.), torch.arange(16.), indexing='ij')
    out = torch.zeros(len(frames), 9, 16, 2)
    if kind == 'scene':
        scene = item(kind, index)
        for i, k in enumerate(frames):
            cx, cy = scene.position(4 * k)
            out[i, ..., 0], out[i, ..., 1] = x - (cx + 120) / 16, y - (cy - 8) / 16
        return out.clamp(-clip, clip)
    for i, k in enumerate(frames):
        dx, zoom = world.camera_path(attributes, 4 * k)
        out[i, ..., 0], out[i, ..., 1] = (x - 7.5) * (zoom - 1) + dx / 16, (y - 4) * (zoom - 1)
    source = torch.stack([x, y], -1) + out
    return torch.maximum(torch.minimum(source, torch.tensor([15.5, 8.5])), torch.tensor(-.5)) - torch.stack([x, y], -1)


class Data:
    def __init__(self, work, kinds, gain, capacity=4000):
        self.maps = {k: open_maps(work, k, capacity) for k in kinds}
        self.attributes, self.focus, self.gain = {k: {} for k in kinds}, {}, gain
        self.refresh()

    def refresh(self):
        """Clips may still be in the making."""
        self.ready = {k: np.flatnonzero(m[1]) for k, m in self.maps.items()}
        for kind, ready in self.ready.items():
            for i in ready:
                if i not in self.attributes[kind]:
                    self.attributes[kind][i] = attributes(kind, i)
        self.simple = [i for i in self.ready['scene'] if (a := self.attributes['scene'][i])['camera'] == 'still'
                       and not a['snowfall'] and not a['fade']]

    def draw(self, rng, kind, frames, simple=False):
        """Latent frames, attributes, a weight map that stresses the moving thing, and offsets."""
        i = int(rng.choice(self.simple if simple else self.ready[kind]))
        z = torch.from_numpy(np.asarray(self.maps[kind][0][i][:, list(frames)], np.float32))
        if (kind, i) not in self.focus:
            self.focus[kind, i] = focus(kind, i, self.gain)
        a = self.attributes[kind][i]
        return z, a, self.focus[kind, i][list(frames)], offsets(kind, i, a, frames)


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


def choose_frames(rng, count, image):
    """Latent times of a sample and the number of latent frames of its film."""
    total = 21 if rng.random() < .9 else int(rng.integers(9, 21))
    if not count or count >= total:
        return tuple(range(total)), total
    if image:
        return (0, *sorted(rng.choice(np.arange(1, total), count - 1, replace=False).tolist())), total
    return tuple(sorted(rng.choice(total, count, replace=False).tolist())), total


def choose_tokens(stress, thing, rest, image):
    """Indices of tokens [B,M] of stress [B,T,18,32]: per frame those around the thing and some others; image to video:
    all of the first frame and some of the others."""
    b, t = stress.shape[:2]
    score = torch.nn.functional.avg_pool2d(stress, 2).flatten(2)
    score = torch.where(score > 1.2, score, 0) + .01 * torch.rand(score.shape)
    order = score.argsort(-1, descending=True)
    others = order[..., thing:].gather(-1, torch.rand(b, t, 144 - thing).argsort(-1)[..., :rest])
    keep = torch.cat([order[..., :thing], others], -1) + 144 * torch.arange(t)[:, None]
    return torch.cat([torch.arange(144).expand(b, 144), keep[:, 1:].flatten(1)], 1) if image else keep.flatten(1)


class Places:
    """What self attention of the first two blocks gives as long as it only says where a token is (initialise.py)."""

    def __init__(self, net):
        self.net, self.tables = net, {}

    @torch.no_grad()
    def __call__(self, keep, frames, total):
        if total not in self.tables:
            rope = self.net.rope(range(total), 9, 16)
            self.tables[total] = [b.self_attn(torch.zeros(1, total * 144, SIZE['dim']), rope, 1.)[0] for b in self.net.blocks[:2]]
        index = torch.tensor(frames)[keep // 144] * 144 + keep % 144
        return [t[index] for t in self.tables[total]]


def main(args):
    work, image = args.work, args.image
    times = TIMES[200 if image else 80]
    times = {'high': times[:2], 'low': times[2:]}.get(args.levels, times)
    torch.manual_seed(args.seed)
    net = DiT(in_dim=36 if image else 16, **SIZE)
    vae = build_vae()
    vae.load_state_dict(torch.load(work / 'ckpt/vae_image.pt')['net'])
    grey = grey_latent(vae)
    frozen, reader = initialise(net, image, grey.view(16, 9, 2, 16, 2).mean((1, 3)).flatten())
    state_path = work / f'ckpt/{args.name}_state.pt'
    state = torch.load(state_path, weights_only=False) if state_path.exists() else None
    step, spent = (state['step'], state['spent']) if state else (0, 0.)
    if state:
        net.load_state_dict(state['net'])
    elif args.init:
        net.load_state_dict(torch.load(work / f'ckpt/{args.init}.pt')['net'])
    if args.tokens:  # attention that is not used must not change
        frozen += [(p, torch.zeros(1)) for i, b in enumerate(net.blocks) if i not in args.attention for p in b.self_attn.parameters()]
    places = Places(net)
    for p, mask in frozen:
        if mask.any() and p.requires_grad:
            p.register_hook(lambda g, mask=mask: g * mask)
        else:
            p.requires_grad_(False)
    ema, inner = Average(net, args.ema), []
    net.blocks[1].register_forward_hook(lambda m, i, o: inner.append(o))
    matrices = [p for n, p in net.named_parameters() if n.startswith('blocks.') and p.dim() == 2 and p.requires_grad]
    chosen = {id(p) for p in matrices}
    other = [p for p in net.parameters() if id(p) not in chosen and p.requires_grad]
    opts = [Muon(matrices, args.lr), torch.optim.AdamW(other, args.lr / 3, betas=(.9, .98), weight_decay=0., fused=True)]
    if state:
        ema.net.load_state_dict(state['ema']), [o.load_state_dict(v) for o, v in zip(opts, state.get('opts', ()))]
        ema.n = step
    data, texts = Data(work, ['scene', 'still'] if image else ['scene'], args.gain), Texts(work)
    rng = np.random.default_rng([args.seed, step])
    torch.manual_seed(args.seed * 100000 + step)
    weight = channel_weights(vae, torch.stack([data.draw(rng, 'scene', [10])[0][:, 0] for _ in range(8)]))
    print('channel weights', [round(w, 2) for w in weight.tolist()], 'clips', {k: len(v) for k, v in data.ready.items()}, flush=True)
    weight = weight.view(1, -1, 1, 1, 1)
    levels = np.array([args.first if args.levels != 'low' else .5] + [1.] * (len(times) - 1))
    levels[1:] *= (1 - levels[0]) / (len(times) - 1)
    clock = Clock(args.minutes, spent)
    log = Log(work / f'logs/{args.name}.csv', ['step', 'seconds', 'loss', *[f't{round(t * 1000)}' for t in times], 'offset', 'cpu'])
    sums, counts = np.zeros(len(times) + 2), np.zeros(len(times) + 2)
    while clock.progress < 1:
        rate = clock.rate(args.lr, step, args.warmup, .03)
        for opt, factor in zip(opts, (1, 1 / 3)):
            for g in opt.param_groups:
                g['lr'] = rate * factor
        frames, total = choose_frames(rng, args.frames, image)
        level = rng.choice(len(times), args.batch, p=levels)
        z, captions, y, t, stress, pure, where, known = [], [], [], [], [], [], [], []
        for b in range(args.batch):
            kind = 'still' if image and rng.random() < args.stills else 'scene'
            clip, a, focused, offset = data.draw(rng, kind, frames, kind == 'scene' and rng.random() < args.simple)
            z.append(clip), stress.append(focused), where.append(offset), known.append(kind == 'still' or not image)
            captions.append(world.caption(a, rng) if rng.random() > .02 else '')
            tt = times[level[b]]
            pure.append(level[b] == 0 and args.levels != 'low')
            if not pure[b] and rng.random() < args.spread:
                tt = float(np.clip(tt + rng.uniform(-.04, .04), .5, .97))
            t.append(tt)
            if image:
                y.append(conditioning(clip[:, 0], grey, frames))
        z, t = torch.stack(z), torch.tensor(t)
        text, length = texts(captions)
        tt, noise = t.view(-1, 1, 1, 1, 1), torch.randn_like(z)
        x = torch.where(torch.tensor(pure).view(-1, 1, 1, 1, 1), tt * noise, (1 - tt) * z + tt * noise)
        stress = torch.stack(stress)
        keep = choose_tokens(stress, *args.tokens, image) if args.tokens else None
        tokens = len(frames) * 144 if keep is None else keep.shape[1]
        inner.clear()
        attended = [*places(keep, frames, total), *[None if i in args.attention else 0. for i in range(2, len(net.blocks))]] if keep is not None else ()
        v = net(torch.cat([x, torch.stack(y)], 1) if image else x, timestep(t), text, length, frames, args.topk,
                floor=1e-5 * tokens / (total * 144), keep=keep, attended=attended)
        if keep is None:
            each = (x - tt * v - z).square().mul(weight * stress[:, None]).mean((1, 2, 3, 4))
        else:  # those around the thing are all there, the others are not
            x, z, important = (net.patches(u).gather(1, keep[..., None].expand(-1, -1, u.shape[1] * 4))
                               for u in (x, z, stress[:, None].clamp(max=1 + args.gain / 4)))
            each = (x - t.view(-1, 1, 1) * v - z).square().mul(weight.flatten().repeat_interleave(4))
            each = each.unflatten(-1, (16, 4)).mul(important[:, :, None]).mean((1, 2, 3))
        where = torch.stack(where).flatten(1, 3)
        if keep is not None:
            where = where.gather(1, keep[..., None].expand(-1, -1, 2))
        wrong = ((inner.pop() @ reader - where).square() * torch.tensor(known).view(-1, 1, 1)).mean()
        loss = each.mean() + args.offset * wrong
        net.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_([p for p in net.parameters() if p.requires_grad], 1.)
        for opt in opts:
            opt.step()
        ema.update(net)
        step += 1
        sums[[0, -1]] += each.mean().item(), wrong.item()
        counts[[0, -1]] += 1
        for k, e in zip(level, each.tolist()):
            sums[1 + k] += e
            counts[1 + k] += 1
        if step % args.every == 0:
            log(step, int(clock.spent), *[float(s / max(c, 1)) for s, c in zip(sums, counts)], int(time.process_time()))
            sums[:], counts[:] = 0, 0
            data.refresh()
        if step % (2 * args.every) == 0 or clock.progress >= 1:
            save(state_path, net=net.state_dict(), ema=ema.net.state_dict(), opts=[o.state_dict() for o in opts],
                 step=step, spent=clock.spent)
            save(work / f'ckpt/{args.name}.pt', net=ema.net.state_dict(), size=SIZE, step=step)


if __name__ == '__main__':
    p = argparse.ArgumentParser()
    p.add_argument('--work', type=Path, required=True)
    p.add_argument('--name', required=True)
    p.add_argument('--init')
    p.add_argument('--image', action='store_true', help='image to video')
    p.add_argument('--levels', choices=['high', 'low'], help='only the noise levels of one expert')
    p.add_argument('--minutes', type=float, required=True)
    p.add_argument('--first', type=float, default=.45, help='share of samples at the first noise level')
    p.add_argument('--simple', type=float, default=.4, help='share of scenes without camera motion and weather')
    p.add_argument('--stills', type=float, default=.85, help='share of stills in image to video')
    p.add_argument('--frames', type=int, default=3, help='latent frames a sample (0: all)')
    p.add_argument('--batch', type=int, default=4)
    p.add_argument('--tokens', type=int, nargs=2, help='tokens a frame: so many around the thing, so many others')
    p.add_argument('--attention', type=int, nargs='*', default=[], help='with --tokens: blocks whose self attention is used')
    p.add_argument('--topk', type=float, default=1., help='share of key blocks of SLA (1: all)')
    p.add_argument('--gain', type=float, default=5., help='weight of the thing in the loss')
    p.add_argument('--offset', type=float, default=.3, help='weight of the auxiliary loss')
    p.add_argument('--lr', type=float, default=3e-3)
    p.add_argument('--warmup', type=int, default=20)
    p.add_argument('--ema', type=float, default=.99)
    p.add_argument('--spread', type=float, default=.25)
    p.add_argument('--seed', type=int, default=0)
    p.add_argument('--every', type=int, default=50)
    p.add_argument('--threads', type=int, default=1)
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    main(args)
