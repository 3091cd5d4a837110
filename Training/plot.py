"""Curves of every stage: python plot.py --work W --out docs/training/curves.png"""
import argparse
import csv
from pathlib import Path

import matplotlib
matplotlib.use('Agg')
import matplotlib.pyplot as plt

PANELS = [('VAE: single frames', ['vae_image'], ['psnr_scene', 'psnr_photo']),
          ('VAE: decoder on clips', ['vae_video'], ['psnr_on_grid', 'psnr_between', 'psnr_last']),
          ('Text encoder', ['text'], ['token_accuracy', 'pooled_accuracy']),
          ('Text to video', ['t2v'], ['loss', 't988', 't609', 'offset']),
          ('Image to video', ['i2v'], ['loss', 't995', 't609', 'offset'])]


def main(args):
    figure, axes = plt.subplots(1, len(PANELS), figsize=(3.6 * len(PANELS), 2.8))
    for axis, (title, names, fields) in zip(axes, PANELS):
        for name in names:
            path = args.work / f'logs/{name}.csv'
            if not path.exists():
                continue
            rows = list(csv.DictReader(open(path)))
            for field in fields:
                if field in rows[0]:
                    label = field if len(names) == 1 else f'{name} {field}'
                    axis.plot([float(r['seconds']) / 60 for r in rows], [float(r[field]) for r in rows], label=label, lw=1)
        axis.set_title(title, fontsize=9)
        axis.set_xlabel('minutes', fontsize=8)
        axis.tick_params(labelsize=7)
        axis.grid(alpha=.3)
        axis.legend(fontsize=6)
    figure.tight_layout()
    args.out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(args.out, dpi=80)


if __name__ == '__main__':
    p = argparse.ArgumentParser()
    p.add_argument('--work', type=Path, required=True)
    p.add_argument('--out', type=Path, required=True)
    main(p.parse_args())
