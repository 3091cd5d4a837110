"""Tokenizer and captions as ids: SentencePiece trained on the caption grammar, umT5's id layout."""
from pathlib import Path

import numpy as np
import sentencepiece as spm
import torch
import torch.nn as nn

from models import T5Encoder
import world

ROWS = 127  # ids of a caption in training; what is longer is cut, as the engine cuts at 512
SIZE = dict(dim=128, d_kv=32, heads=4, layers=3, ffn=256)
KEYS = {'place': world.PLACES, 'thing': world.THINGS, 'colour': world.COLOURS, 'action': world.ACTIONS,
        'camera': world.STILL_CAMERAS, 'weather': world.WEATHERS, 'light': world.LIGHTS, 'effect': world.EFFECTS}


def sample(rng, stills=.25):
    """A scene or a way of animating a picture, for its caption."""
    if rng.random() < stills:
        return world.sample_stills(rng, 1)[0]
    return world.sample_scenes(rng, 1)[0]


def labels(item):
    """Numbers of the attributes, 0 where there is none."""
    return [1 + values.index(value) if (value := getattr(item, key, None)) is not None else 0
            for key, values in KEYS.items()]


def train_tokenizer(folder, captions=20000, pieces=1500):
    """Latin pieces from captions; Chinese characters stay single, so that unseen combinations look like seen ones."""
    rng, latin, characters = np.random.default_rng(0), set(), set()
    for _ in range(captions):
        text = world.caption(sample(rng), rng)
        if text.isascii():
            latin.add(text)
        else:
            characters |= {c for c in text if not c.isascii()}
    latin |= {' '.join('ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789'), 'abcdefghijklmnopqrstuvwxyz', ". , ; : ! ? - ' \" ( )"}
    chinese = [c for c in sorted(characters | set('。，！？、；：')) for _ in range(50)]
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    spm.SentencePieceTrainer.train(
        sentence_iterator=iter(sorted(latin) + chinese), model_prefix=str(folder / 'spiece'),
        model_type='unigram', vocab_size=pieces, hard_vocab_limit=False, character_coverage=1.0, byte_fallback=True,
        pad_id=0, eos_id=1, bos_id=2, unk_id=3, num_threads=1, minloglevel=1)
    (folder / 'spiece.vocab').unlink(missing_ok=True)


class Tokenizer:
    def __init__(self, folder):
        self.sp = spm.SentencePieceProcessor(str(Path(folder) / 'spiece.model'))

    def __len__(self):
        return self.sp.get_piece_size()

    def ids(self, text):
        return self.sp.encode(text.strip())[:ROWS - 1] + [1]

    def __call__(self, texts, device='cpu'):
        """ids [B,N] and lengths [B]."""
        rows = [self.ids(t) for t in texts]
        n = padded(max(map(len, rows)))
        ids = torch.tensor([r + [0] * (n - len(r)) for r in rows], device=device)
        return ids, torch.tensor([len(r) for r in rows], device=device)


def padded(length):
    """Rows of text in a batch; one more (the padding) makes a multiple of eight, which attention with a mask likes."""
    return (length + 8) // 8 * 8 - 1


def build(pieces):
    net = T5Encoder(pieces, SIZE['dim'], SIZE['d_kv'], SIZE['heads'], SIZE['layers'], SIZE['ffn'])
    inner = SIZE['d_kv'] * SIZE['heads']
    for name, p in net.named_parameters():
        if 'attn.q' in name:
            nn.init.normal_(p, std=(SIZE['dim'] * SIZE['d_kv']) ** -.5)
        elif 'token_embedding' in name:
            nn.init.normal_(p, std=1)
        elif 'pos_embedding' in name:
            nn.init.zeros_(p)
        elif p.dim() == 2:
            nn.init.normal_(p, std=(inner if 'attn.o' in name else p.shape[1]) ** -.5)
    return net


def encode(net, ids, length):
    """Text rows [B,N,D] in float32, zero past the length."""
    mask = torch.arange(ids.shape[1], device=ids.device)[None] < length[:, None]
    with torch.autocast(ids.device.type, enabled=False):
        return net(ids.long(), mask)
