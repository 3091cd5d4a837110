"""Curves of every stage: python plot.py --work W --out docs/training/curves.png"""
import argparse
import csv
from pathlib import Path

import matplotlib
matplotlib.use('Agg')
import matplotlib.pyplot as plt

#: Title, log, columns, logarithmic.
PANELS = [('VAE: frames, dB', 'vae_image', ['psnr_scene', 'psnr_photo'], False),
          ('VAE: decoder on clips, dB', 'vae_video', ['psnr_first', 'psnr_on_grid', 'psnr_between', 'psnr_last'], False),
          ('Text encoder: attributes right', 'text', ['token_accuracy', 'pooled_accuracy'], False),
          ('Teacher, text to video', 't2v', ['high', 'middle', 'low', 'place', 'world'], True),
          *((f'Trial: {way}', f't2v_{way}', ['high', 'middle', 'low', 'place', 'world'], True) for way in ('slow', 'world', 'both')),
          ('Teacher, image to video', 'i2v', ['high', 'middle', 'low', 'place'], True),
          ('Sparse attention, text to video', 't2v_sla', ['sparse', 'dense'], True),
          ('Distillation, text to video', 't2v_few', ['t988', 't934', 't853', 't609', 'dense'], True),
          ('Distribution matching', 't2v_match', ['pull', 'fake', 'critic', 'keep', 'good', 'world'], False),
          ('Distillation, high noise', 'i2v_high_few', ['t995', 't934', 'dense', 'choice'], True),
          ('Distillation, low noise', 'i2v_low_few', ['t853', 't609', 'dense', 'choice'], True)]


def smooth(values, share=.05):
    """A short running mean of what was logged; columns log 0 where nothing fell into a band."""
    out, last, keep = [], None, 1 - 1 / max(1, share * len(values))
    for v in values:
        if v > 0:
            last = v if last is None else keep * last + (1 - keep) * v
        out.append(last if last is not None else float('nan'))
    return out


def main(args):
    there = [panel for panel in PANELS if (args.work / f'logs/{panel[1]}.csv').exists()]
    down, across = (2, 5) if len(there) > 5 else (1, max(1, len(there)))
    figure, axes = plt.subplots(down, across, figsize=(3.4 * across, 2.8 * down), squeeze=False)
    for axis, (title, name, fields, logarithmic) in zip(axes.flat, there):
        rows = list(csv.DictReader(open(args.work / f'logs/{name}.csv')))
        for field in fields:
            values = [(float(r['step']) / 1000, float(r[field])) for r in rows if r.get(field)]
            if values:
                axis.plot([s for s, _ in values], smooth([v for _, v in values]), label=field, lw=1)
        axis.legend(fontsize=6)
        if logarithmic:
            axis.set_yscale('log')
        axis.set_title(title, fontsize=9)
        axis.set_xlabel('thousand steps', fontsize=7)
        axis.tick_params(labelsize=7)
        axis.grid(alpha=.3)
    figure.tight_layout()
    args.out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(args.out, dpi=80)


if __name__ == '__main__':
    p = argparse.ArgumentParser()
    p.add_argument('--work', type=Path, required=True)
    p.add_argument('--out', type=Path, required=True)
    main(p.parse_args())
