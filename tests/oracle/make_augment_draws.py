#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The random draws of fastai's transforms: python make_augment_draws.py [FOLDER]

Needs torch 2.11, fastai 2.8.12. Runs aug_transforms(size=128, min_scale=.75) as the course builds it, 10,000 pictures of 256 x 256, and
records each number that it draws (fastai.vision.augment._draw_mask's results); and Resize(256), whose two draws give the place of its
square. draws.json:

  parameters  per parameter: how many were kept (not neutral), and of the kept ones minimum, maximum, mean, standard deviation, deciles
              (contrast: of its logarithm, which is uniform)
  both_kept   for each pair: how many pictures kept both
  correlation for each pair: of the numbers, neutral ones included
  crops       per picture size: how often each side, left and top occurred in 10,000 crops; the correlation of left and top
  batches     50 batches of 32 pictures whose pixels encode their place, through RandomResizedCropGPU: how many crops are visible in each
"""
import json
import random
import sys
from itertools import combinations
from pathlib import Path

import fastai
import numpy as np
import torch
from fastai.vision import augment as fa
from fastai.vision.all import TensorImage

N = 10000
NEUTRAL = dict(flip=0, degrees=0, zoom=1, zoom_x=None, zoom_y=None, warp_x=0, warp_y=0, brightness=.5, contrast=0)
DRAWN_IN = dict(zip(NEUTRAL, "flip_mat rotate_mat zoom_mat zoom_mat zoom_mat _WarpCoord _WarpCoord _BrightnessLogit _ContrastLogit".split()))


def draw():
    """{parameter: N numbers} and fastai's crop transform."""
    drawn, draw_mask = [], fa._draw_mask

    def noting(x, def_draw, *args, **kwargs):
        result = draw_mask(x, def_draw, *args, **kwargs)
        drawn.append((def_draw.__qualname__.split(".")[0], result.double().numpy()))
        return result

    pictures = TensorImage(torch.zeros(1).expand(N, 3, 256, 256))
    transforms = fa.aug_transforms(size=128, min_scale=.75)
    fa._draw_mask = noting
    for transform in transforms:
        transform.before_call(pictures, 0)
    fa._draw_mask = draw_mask
    assert [where for where, _ in drawn] == list(DRAWN_IN.values())
    values = {name: numbers for name, (_, numbers) in zip(NEUTRAL, drawn)}
    values["contrast"] = np.log(values["contrast"])
    return values, next(t for t in transforms if isinstance(t, fa.RandomResizedCropGPU))


def draw_resize():
    transform, drawn = fa.Resize(256), []
    for _ in range(N):
        transform.before_call(None, 0)
        drawn.append(transform.pcts)
    return dict(zip(("resize_x", "resize_y"), np.array(drawn).T))


def rounded(values):
    return [float(f"{v:.7g}") for v in np.atleast_1d(values)]


def describe(name, values):
    kept = values if NEUTRAL.get(name) is None else values[values != NEUTRAL[name]]
    mean, deviation = rounded([kept.mean(), kept.std()])
    return dict(kept=len(kept), least=float(kept.min()), greatest=float(kept.max()), mean=mean, std=deviation,
                deciles=rounded(np.quantile(kept, np.arange(1, 10) / 10)))


def correlation(a, b):
    return rounded(np.corrcoef(a, b)[0, 1])[0]


def counts(values):
    return {str(k): int(n) for k, n in zip(*np.unique(values, return_counts=True))}


def draw_crops(crop, height, width):
    pictures, seen = torch.zeros(1).expand(1, 3, height, width), []
    for _ in range(N):
        crop.before_call(pictures, 0)
        assert crop.cp_size[0] == crop.cp_size[1]
        seen.append((crop.cp_size[0], crop.tl[1], crop.tl[0]))
    side, left, top = np.array(seen).T
    return dict(height=height, width=width, side=counts(side), left=counts(left), top=counts(top), correlation=correlation(left, top))


def crops_seen(crop):
    """In each batch, how many crops its pictures show: red is the column, green the row."""
    row = torch.arange(256.).view(256, 1).expand(256, 256) / 255
    place = TensorImage(torch.stack([row.T, row, row]).expand(32, 3, 256, 256).contiguous())
    seen = []
    for _ in range(50):
        y = crop(place, split_idx=0)
        corners = torch.stack([y[:, 0, 0, 0], y[:, 1, 0, 0], y[:, 0, 0, -1], y[:, 1, -1, 0]], 1) * 255
        seen.append(len({tuple(picture.round().int().tolist()) for picture in corners}))
    return seen


def main():
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent / "augment")
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    random.seed(20)
    torch.manual_seed(20)
    values, crop = draw()
    crops, batches = [draw_crops(crop, 256, 256), draw_crops(crop, 100, 130)], crops_seen(crop)
    values.update(draw_resize())
    masked = [name for name, neutral in NEUTRAL.items() if neutral is not None]
    document = {
        "made_with": dict(torch=torch.__version__.split("+")[0], fastai=fastai.__version__),
        "n": N,
        "parameters": {name: describe(name, numbers) for name, numbers in values.items()},
        "both_kept": {f"{a} {b}": int(((values[a] != NEUTRAL[a]) & (values[b] != NEUTRAL[b])).sum()) for a, b in combinations(masked, 2)},
        "correlation": {f"{a} {b}": correlation(values[a], values[b]) for a, b in combinations(values, 2)},
        "crops": crops,
        "batches": batches,
    }
    lines = ",\n".join(f' "{key}": {json.dumps(value)}' for key, value in document.items())
    (folder / "draws.json").write_text("{\n" + lines + "\n}\n")


if __name__ == "__main__":
    main()
