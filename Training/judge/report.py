"""Tables and contact sheets."""
from collections import Counter
import textwrap

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .net import HEADS, SCENE


def share(values):
    values = [v for v in values if v is not None]
    return None if not values else 100 * sum(values) / len(values)


def cell(value, digits=0, unit=''):
    return '–' if value is None else f'{value:.{digits}f}{unit}'


def table(titles, rows):
    lines = ['| ' + ' | '.join(titles) + ' |', '| ' + ' | '.join(['---'] * len(titles)) + ' |']
    return '\n'.join(lines + ['| ' + ' | '.join(str(c) for c in row) + ' |' for row in rows])


def summary(results, pairs, errors, beside):
    """Markdown of all variants, in the order of `results`."""
    lines = ['# What the films show', '']
    variants = list(dict.fromkeys((r['kind'], r['variant'], r['made_by']) for r in results))
    scenes, pictures = [], []
    for kind, variant, maker in variants:
        own = [r for r in results if (r['kind'], r['variant'], r['made_by']) == (kind, variant, maker)]
        right = lambda n: cell(share([r['verdict']['right'][n] for r in own]))
        mean = lambda values, digits, unit='': cell(np.mean(values) if values else None, digits, unit)
        taken = [r['seconds'] for r in own if r.get('seconds')]
        first = [variant, maker or '–', len(own)]
        if kind == 't2v':
            same = {r['number'] for r in own}
            base = [r for r in results if r['kind'] == 't2v' and r['variant'] == 'base' and r['number'] in same]
            scenes.append(first + [right(n) for n in (*SCENE, 'all')] + [cell(share([r['verdict']['right']['all'] for r in base])) if variant != 'base' else '', right('registered')]
                          + [mean([r['verdict']['flicker'] for r in own], 2), mean([r['verdict']['drift'][0] for r in own], 2), mean(taken, 1)])
        else:
            fidelity = [r['verdict']['first'] for r in own if 'first' in r['verdict']]
            pictures.append(first + [mean(fidelity, 1, ' dB'), cell(np.median(fidelity) if fidelity else None, 1, ' dB'), cell(share([f >= 30 for f in fidelity])),
                                     right('camera'), right('effect'), right('asked'), mean([r['verdict']['flicker'] for r in own], 2), mean(taken, 1)])
    lines += ['## Text to video: films that show what was asked, in per cent', '',
              table(['variant', 'engine', 'films', *SCENE, 'all at once', 'base on the same prompts', 'camera by registration, dry weather', 'flicker', 'end/begin sharpness', 'seconds a film'], scenes), '']
    if pictures:
        lines += ['## Image to video, photographs never seen', '',
                  table(['variant', 'engine', 'films', 'first frame', 'median', 'of them >= 30 dB, %', 'asked camera, %', 'asked effect, %', 'either, %', 'flicker', 'seconds a film'], pictures), '']
    things = [r for r in results if r['kind'] == 't2v' and r['variant'] == 'base']
    for name in ('thing', 'action', 'camera'):
        wrong = Counter(f"{r['asked'][name]} for {r['verdict']['told'][name]}" for r in things if not r['verdict']['right'][name])
        asked = Counter(r['asked'][name] for r in things)
        missed = Counter(r['asked'][name] for r in things if not r['verdict']['right'][name])
        if wrong:
            lines += [f"{name.capitalize()}s missed: " + ', '.join(f'{k} {n} of {asked[k]}' for k, n in missed.most_common(6))
                      + '; taken for: ' + ', '.join(f'{k} {n}' for k, n in wrong.most_common(6)) + '.', '']
    if pairs:
        lines += [f"Two seeds of one prompt: films lie {pairs['seeds']:.1f} levels apart (mean of {pairs['count']} pairs, 8-bit, after 4 x 4 means); "
                  f"two different prompts {pairs['prompts']:.1f}; two drawings of one scene with different jitter {pairs['drawn']:.1f}.", '']
    if beside:
        lines += ['## Nets of the chain in Python, other noise than the engine\'s, in per cent', '',
                  table(['net', 'steps', 'key share', 'guidance', 'films', *SCENE, 'all at once'],
                        [[k, v['steps'] or 50, v['topk'] or 'dense', v['guidance'], v['films'], *[cell(v[n]) for n in (*SCENE, 'all')]] for k, v in beside.items()]), '']
    if errors:
        lines += ["## The classifier's own error", '', 'On rendered clips with held-out combinations and held-out photographs, in per cent.', '',
                  table(['', *HEADS, 'all of a scene', 'clips'], [[k] + [v.get(n, '–') for n in [*HEADS, 'all of a scene', 'clips']] for k, v in errors.items()]), '']
    devices = Counter(r['device'] for r in results if r.get('device'))
    if devices:
        lines += ['Films made on: ' + '; '.join(f'{name} ({n})' for name, n in devices.most_common()) + '.', '']
    return '\n'.join(lines)


def sheet(items, path, columns=2, frames=5, width=128, budget=760_000):
    """`items`: (caption, film uint8 [T,H,W,3]); a strip of frames of each film over its caption."""
    font = ImageFont.load_default(11)
    strips = []
    for caption, film in items:
        h = round(width * film.shape[1] / film.shape[2])
        image = Image.new('RGB', (frames * (width + 2), h + 34), (250, 250, 248))
        for n, k in enumerate(np.linspace(0, len(film) - 1, frames).round().astype(int)):
            image.paste(Image.fromarray(film[k]).resize((width, h), Image.LANCZOS), (n * (width + 2), 0))
        draw = ImageDraw.Draw(image)
        draw.multiline_text((2, h + 3), '\n'.join(textwrap.wrap(caption, 110)[:2]), (40, 40, 46), font, spacing=2)
        strips.append(image)
    rows = [strips[i:i + columns] for i in range(0, len(strips), columns)]
    gap = 10
    size = (columns * (strips[0].width + gap) + gap, sum(max(s.height for s in row) + gap for row in rows) + gap)
    out, y = Image.new('RGB', size, (250, 250, 248)), gap
    for row in rows:
        for n, strip in enumerate(row):
            out.paste(strip, (gap + n * (strip.width + gap), y))
        y += max(s.height for s in row) + gap
    for quality in (90, 84, 78, 70, 60):
        out.save(path, quality=quality, optimize=True)
        if path.stat().st_size <= budget:
            break
