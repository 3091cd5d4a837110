"""Tokenizer (SentencePiece unigram, umT5's id layout) and text encoder (umT5, small).

  python train_text.py --work W --minutes 3

The encoder learns to tell a caption's attributes from every single token, so that cross attention finds them anywhere.
"""
import argparse
from pathlib import Path

import numpy as np
import sentencepiece as spm
import torch
import torch.nn as nn
import torch.nn.functional as F

from common import Clock, Log, save
from models import T5Encoder
import world

KEYS = {'place': [None, *world.PLACES], 'thing': [None, *world.THINGS], 'colour': [None, *world.COLOURS],
        'motion': [None, *world.MOTIONS], 'camera': world.CAMERAS, 'snowfall': [False, True], 'fade': [False, True]}
DISTRACTORS = ('beautiful|cinematic|realistic|soft light|4k|high quality|detailed|calm|peaceful|slowly|gently|bright|'
               'colourful|wide shot|in the morning|a lovely|old|small|big|quiet|warm|video of').split('|')


def sample(rng):
    a = world.sample_attributes(rng, rng.random() < .3)
    if rng.random() < .1:  # a part is missing: no thing at all
        a.update(thing=None, colour=None, motion=None) if a['place'] else None
        if a['place']:
            chinese = rng.random() < .4
            words = world.ZH if chinese else world.EN
            return a | {'camera': 'still', 'snowfall': False, 'fade': False}, str(rng.choice(words['place'][a['place']]))
    text = world.caption(a, rng)
    u = rng.random()
    if u < .15:
        text = text + ', ' + str(rng.choice(DISTRACTORS))
    elif u < .3:
        text = str(rng.choice(DISTRACTORS)) + ' ' + text
    if rng.random() < .2:
        text = text.lower()
    return a, text


def train_tokenizer(folder):
    rng, lines = np.random.default_rng(0), set()
    for _ in range(20000):
        text = sample(rng)[1]
        if text.isascii():
            lines.add(text)
    lines |= {*world.SUBJECTS, *DISTRACTORS, ' '.join('ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789'), '。 ！ ？ 、 ! ?'}
    chinese = [*world.SUBJECTS_ZH, *'一个 一张 的 在 照片 的照片 镜头 向左 向右 向上 向下 移动'.split(), *world.ZH['snowfall'], *world.ZH['fade']]
    for group in ('place', 'thing', 'motion', 'camera', 'colour'):
        for v in world.ZH[group].values():
            chinese += [v] if isinstance(v, str) else v
    lines = sorted(lines) + [p for p in chinese for _ in range(40)]
    folder.mkdir(parents=True, exist_ok=True)
    spm.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_prefix=str(folder / 'spiece'), model_type='unigram', vocab_size=1600,
        hard_vocab_limit=False, character_coverage=1.0, byte_fallback=True, pad_id=0, eos_id=1, bos_id=2, unk_id=3,
        num_threads=1, minloglevel=1)
    (folder / 'spiece.vocab').unlink(missing_ok=True)


class Tokenizer:
    def __init__(self, folder):
        self.sp = spm.SentencePieceProcessor(str(Path(folder) / 'spiece.model'))

    def __call__(self, texts):
        rows = [self.sp.encode(t.strip())[:511] + [1] for t in texts]
        n = max(map(len, rows))
        ids = torch.tensor([r + [0] * (n - len(r)) for r in rows])
        return ids, torch.tensor([[1] * len(r) + [0] * (n - len(r)) for r in rows])


def build(vocab):
    net = T5Encoder(vocab, 128, 32, 4, 2, 256)
    for name, p in net.named_parameters():
        if 'attn.q' in name:
            nn.init.normal_(p, std=(128 * 32) ** -.5)
        elif 'token_embedding' in name:
            nn.init.normal_(p, std=1)
        elif 'pos_embedding' in name:
            nn.init.zeros_(p)
        elif p.dim() == 2:
            nn.init.normal_(p, std=p.shape[1] ** -.5)
    return net


def main(args):
    folder = args.work / 'tokenizer'
    if not (folder / 'spiece.model').exists():
        train_tokenizer(folder)
    tokenizer = Tokenizer(folder)
    net = build(tokenizer.sp.get_piece_size())
    print('pieces', tokenizer.sp.get_piece_size())
    heads = nn.ModuleDict({k: nn.Linear(128, len(v)) for k, v in KEYS.items()})
    params = [*net.parameters(), *heads.parameters()]
    opt = torch.optim.AdamW(params, 2e-3, betas=(.9, .98), weight_decay=.01)
    rng, clock = np.random.default_rng(1), Clock(args.minutes)
    log = Log(args.work / 'logs/text.csv', ['step', 'seconds', 'loss', 'token_accuracy', 'pooled_accuracy'])
    step = 0
    while clock.progress < 1:
        for g in opt.param_groups:
            g['lr'] = clock.rate(2e-3, step)
        pairs = [sample(rng) for _ in range(64)]
        ids, mask = tokenizer([t for _, t in pairs])
        h = net(ids, mask)
        pooled = h.sum(1) / mask.sum(1, keepdim=True)
        loss, right, right_pooled = 0, [], []
        for key, values in KEYS.items():
            want = torch.tensor([values.index(a[key]) for a, _ in pairs])
            per_token = heads[key](h)
            all_want = want[:, None].expand(-1, h.shape[1])[mask.bool()]
            loss = loss + F.cross_entropy(per_token[mask.bool()], all_want) + F.cross_entropy(heads[key](pooled), want)
            right.append((per_token[mask.bool()].argmax(-1) == all_want).float().mean())
            right_pooled.append((heads[key](pooled).argmax(-1) == want).float().mean())
        opt.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(params, 1.)
        opt.step()
        step += 1
        if step % 100 == 0:
            log(step, int(clock.spent), loss.item(), torch.stack(right).mean().item(), torch.stack(right_pooled).mean().item())
    save(args.work / 'ckpt/text.pt', net=net.state_dict(), heads=heads.state_dict(), pieces=tokenizer.sp.get_piece_size())


if __name__ == '__main__':
    p = argparse.ArgumentParser()
    p.add_argument('--work', type=Path, required=True)
    p.add_argument('--minutes', type=float, default=3)
    args = p.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    main(args)
