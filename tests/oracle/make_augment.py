#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes tests/oracle/augment/ with fastai's transforms: python make_augment.py [FOLDER]

Needs torch 2.11 and fastai 2.8.12. Every case runs aug_transforms' pipeline (the affine maps and the warp composed, RandomResizedCropGPU,
lighting, Normalize) with given draws instead of random ones, once in f32 as in fastai and once in f64. Where fastai's coordinates in f32
cost more than 5e-6 (pixels of 0 beside 255, strong contrast), its f64 result is expected, else its f32 result.

  cases.json    for each case: extents, draws, crop, the parameter rows computed by fastai, the place of its numbers in the files, which
                result they are and how far fastai's f32 is from its f64
  pictures.bin  u8, (n,H,W,3) each
  expected.bin  f32, (n,h,w,3) each
"""
import json
import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from fastai.vision import augment as fa
from fastai.vision.all import IntToFloatTensor, Normalize, Pipeline, TensorImage, imagenet_stats

NEUTRAL = dict(flip=0, degrees=0, zoom=1, zoom_x=.5, zoom_y=.5, warp_x=0, warp_y=0, brightness=.5, contrast=1)
# fastai converts f64 to f32 wherever it makes a tensor. Here the pictures' type is kept; nothing changes for f32.
fa._init_mat = lambda x: torch.eye(3, dtype=x.dtype).unsqueeze(0).expand(x.size(0), 3, 3).contiguous()
fa.tensor = torch.tensor
for kind in (fa.TensorImage, fa.TensorBase, fa.TensorFlowField):
    setattr(fa, kind.__name__, type(kind.__name__, (kind,), {"__new__": lambda cls, x, kind=kind: x.as_subclass(kind)}))
# Our parameter rows are f32, also for the f64 run; nothing changes for f32.
prepare_mat, find_coeffs = fa._prepare_mat, fa.find_coeffs
fa._prepare_mat = lambda x, mat: prepare_mat(x, mat).float().to(x.dtype)
fa.find_coeffs = lambda p1, p2: find_coeffs(p1, p2).float().to(p1.dtype)


class GivenCrop(fa.RandomResizedCropGPU):
    """fastai's crop, with the crop of a case."""

    def __init__(self, size, crop):
        super().__init__(size, min_scale=.75, ratio=(1, 1))
        self.crop = crop

    def before_call(self, b, split_idx):
        self.do = True
        left, top, width, height = self.crop
        self.cp_size, self.tl = (height, width), (top, left)


def transforms(case):
    d = {key: [float(draw[key]) for draw in case["draws"]] for key in NEUTRAL}
    return fa.setup_aug_tfms([
        fa.Flip(p=1., draw=d["flip"]), fa.Warp(p=1., draw_x=d["warp_x"], draw_y=d["warp_y"]), fa.Rotate(p=1., draw=d["degrees"]),
        fa.Zoom(p=1., draw=d["zoom"], draw_x=d["zoom_x"], draw_y=d["zoom_y"]), fa.Brightness(p=1., draw=d["brightness"]),
        fa.Contrast(p=1., draw=d["contrast"]), GivenCrop(tuple(case["out"]), case["crop"])])


def run(case, pictures, dtype):
    """The network's input (n,h,w,3) and the parameter rows."""
    validation = case["validation"]
    tfms = [fa.RandomResizedCropGPU(tuple(case["out"]), min_scale=.75, ratio=(1, 1))] if validation else transforms(case)
    x = torch.from_numpy(pictures).permute(0, 3, 1, 2).contiguous()
    x = IntToFloatTensor()(TensorImage(x)) if dtype == torch.float32 else (x.double() / 255).as_subclass(TensorImage)
    stats = [torch.tensor(s, dtype=torch.float64) if dtype == torch.float64 else s for s in imagenet_stats]
    normalize = Normalize.from_stats(*stats, cuda=False)
    if validation:  # aug_transforms' list, of which only the identity sampling and the crop have an effect
        tfms = [fa.Flip()] + tfms
    y = Pipeline(tfms + [normalize], split_idx=1 if validation else 0)(x)
    affine = next(t for t in tfms if isinstance(t, fa.AffineCoordTfm))
    crop = next(t for t in tfms if isinstance(t, fa.RandomResizedCropGPU))
    n = len(pictures)
    rows = torch.zeros(n, 20, dtype=torch.float64)
    rows[:, :6] = affine.mat.reshape(n, 6)
    rows[:, 6:14] = torch.tensor([1, 0, 0, 0, 1, 0, 0, 0.])
    if not validation:
        warp = affine.coord_fs[0]
        rows[:, 6:14] = fa.find_coeffs(warp.orig_pts, warp.targ_pts).reshape(n, 8)
        lighting = next(t for t in tfms if isinstance(t, fa.LightingTfm))
        rows[:, 18] = fa.logit(lighting.fs[0].change)
        rows[:, 19] = lighting.fs[1].change
    rows[:, 14:18] = torch.tensor([crop.tl[1], crop.tl[0], crop.cp_size[1], crop.cp_size[0]], dtype=torch.float64)
    return y.permute(0, 2, 3, 1).contiguous().numpy(), rows.numpy()


def blurred(random, n, height, width):
    x = torch.from_numpy(random.random((n, 3, height, width)))
    taps = torch.exp(-(torch.arange(-9, 10) / 3.0) ** 2 / 2).double()
    taps /= taps.sum()
    x = F.pad(x, (9, 9, 9, 9), mode="circular")
    x = F.conv2d(x, taps.view(1, 1, 1, -1).expand(3, 1, 1, 19), groups=3)
    x = F.conv2d(x, taps.view(1, 1, -1, 1).expand(3, 1, 19, 1), groups=3)
    x = (x - x.amin((2, 3), True)) / (x.amax((2, 3), True) - x.amin((2, 3), True))
    return (x * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()


def make_cases():
    def three(**draws):
        return [{**NEUTRAL, **{key: values[i] for key, values in draws.items()}} for i in range(3)]

    def case(name, size, out, crop, draws, pictures="photos", validation=False):
        return dict(name=name, height=size[0], width=size[1], out=[out, out], crop=crop, draws=draws, pictures=pictures,
                    validation=validation)

    all_of = dict(flip=[0, 1, 1], degrees=[10, -7.25, 3.5], zoom=[1.1, 1.03, 1.08], zoom_x=[0, .3, 1], zoom_y=[1, .7, 0],
                  warp_x=[.2, -.13, .05], warp_y=[-.2, .08, .17], brightness=[.4, .6, .53], contrast=[1.25, .8, .93])
    wild = dict(flip=[1, 0, 1], degrees=[45, -80, 170], zoom=[.4, .6, 2.5], zoom_x=[0, 1, .2], zoom_y=[.5, .5, 1],
                warp_x=[.05, -.1, .1], warp_y=[.05, .1, 0], brightness=[.1, .9, .5], contrast=[3, .3, 1])
    square, whole = (40, 40), [0, 0, 40, 40]
    return [
        case("validation", square, 20, whole, three(), validation=True),
        case("validation of one pixel more than twice", (33, 33), 16, [0, 0, 33, 33], three(), validation=True),
        case("validation of a wide picture", (30, 40), 20, [5, 0, 30, 30], three(), validation=True),
        case("validation averaged first", (52, 52), 20, [0, 0, 52, 52], three(), validation=True),
        case("flip", square, 20, whole, three(flip=[1, 0, 1])),
        case("rotate", square, 20, whole, three(degrees=[10, -10, 4])),
        case("zoom", square, 20, whole, three(zoom=[1.1, 1.05, 1.1], zoom_x=[0, .5, 1], zoom_y=[1, .25, 0])),
        case("warp", square, 20, whole, three(warp_x=[.2, 0, -.11], warp_y=[0, -.2, .16])),
        case("brightness", square, 20, whole, three(brightness=[.4, .6, .5])),
        case("contrast", square, 20, whole, three(contrast=[.8, 1.25, 1])),
        case("crop", square, 20, [3, 1, 35, 35], three()),
        case("everything", square, 20, [2, 4, 36, 36], three(**all_of)),
        case("everything on a wide picture", (30, 40), 20, [7, 1, 28, 28], three(**all_of)),
        case("everything averaged first", (52, 52), 20, [1, 5, 47, 47], three(**all_of)),
        case("everything, enlarged", (20, 20), 24, [1, 2, 18, 18], three(**all_of)),
        case("reflected many times", square, 20, [0, 3, 37, 37], three(**wild)),
        case("everything on noise", square, 20, [2, 4, 36, 36], three(**all_of), pictures="noise"),
        case("everything averaged first, on noise", (52, 52), 13, [1, 5, 47, 47], three(**all_of), pictures="noise"),
        case("reflected many times, on noise", (30, 40), 20, [9, 2, 27, 27], three(**wild), pictures="noise"),
    ]


def main():
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent / "augment")
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    random = np.random.default_rng(20)
    pictures_of, pictures, expected, cases = {}, b"", b"", make_cases()
    for case in cases:
        key = (case["pictures"], case["height"], case["width"])
        if key not in pictures_of:
            shape = (3, *key[1:], 3)
            x = blurred(random, *shape[:3]) if key[0] == "photos" else random.integers(0, 256, shape, dtype=np.uint8)
            if key[0] == "noise":
                x[0] = np.where(x[0] < 128, 0, 255)
            pictures_of[key] = (len(pictures), x)
            pictures += x.tobytes()
        case["pictures_at"], x = pictures_of[key]
        single, rows = run(case, x, torch.float32)
        double, double_rows = run(case, x, torch.float64)
        error = float(np.abs(single - double).max())
        if error > 5e-6:
            single, rows = double, double_rows
        case["expected_is"], case["f32_error"] = "f64" if error > 5e-6 else "f32", float(f"{error:.2g}")
        print(f"{case['name']:40s} {case['expected_is']}, f32 against f64: {error:.2g}")
        case["rows"] = [[float(f"{np.float32(v):.9g}") for v in row] for row in rows]
        case["expected_at"] = len(expected) // 4
        expected += single.astype("<f4").tobytes()
    (folder / "pictures.bin").write_bytes(pictures)
    (folder / "expected.bin").write_bytes(expected)
    versions = dict(torch=torch.__version__.split("+")[0], fastai=__import__("fastai").__version__)
    (folder / "cases.json").write_text(json.dumps(dict(made_with=versions, cases=cases), indent=1) + "\n")


if __name__ == "__main__":
    main()
