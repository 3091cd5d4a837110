"""Tables and contact sheets."""
import textwrap

import numpy as np
from PIL import Image, ImageDraw, ImageFont


def share(values):
    values = [v for v in values if v is not None]
    return None if not values else 100 * sum(values) / len(values)


def cell(value, digits=0, unit=''):
    return '–' if value is None else f'{value:.{digits}f}{unit}'


def table(titles, rows):
    lines = ['| ' + ' | '.join(titles) + ' |', '| ' + ' | '.join(['---'] * len(titles)) + ' |']
    return '\n'.join(lines + ['| ' + ' | '.join(str(c) for c in row) + ' |' for row in rows])


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
