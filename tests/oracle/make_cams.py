#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes tests/oracle/cams/cams.safetensors with pytorch-grad-cam in float64: python tests/oracle/make_cams.py [FOLDER]

The network of make_resnet.py, ResNet18 with fastai's head, filled by names without its shifts, in evaluation mode. Two pictures of 64x64, which
are 2 (2 u - 1) of "input" in (N,H,W,C) order. Needs torch 2.11, torchvision 0.26, grad-cam 1.5.7.

The package's results are taken in two places: `raw` is what get_cam_image returns, before its ReLU, its scaling and its resizing; `image`
is what the call returns: ReLU, (map - min) / (1e-7 + max), cv2.resize to 64x64, mean over the layers, and scaled again. Every third
row and column of an image is kept.

  raw.<method> (2,4,4) F64     at layer3, for the classes 0 and 3. <method> is the name in `mirilla gradcam --method`. The sign of eigencam
                               and eigengradcam is LAPACK's choice: a singular vector times -1 is also one
  raw.gradcam.difference       the logits 0 - 3 and 3 - 5;  raw.gradcam.several  0 + 1 + 2 and 3 + 4
  image.gradcam, image.fused, image.smooth (2,22,22) F32    Grad-CAM of those differences at layer3; at layer3 and layer4; at layer3 with
                               aug_smooth
  guided (22,22,3) F32         GuidedBackpropReLUModel of the first picture for class 0
  integrated (22,22,3) F32     integrated gradients of the first picture for class 0, from the picture of zeros, at the 16 midpoints
  smoothgrad (22,22,3) F32     the mean of d logit 0 / d picture over 4 pictures with noise; for the noise see `noise`
  occlusion (22,22) F32        logit 0 of the first picture minus the same with a square of 16 pixels zeroed, every 8 pixels: at each pixel
                               the mean over the squares that cover it

The script asserts that no two methods give maps closer than 0.01 of their largest value: where two formulas coincide, as most do at the last
layer before a pool, a test could not distinguish them.
"""
import math
import os
import sys
from importlib.metadata import version
from pathlib import Path

os.environ["TQDM_DISABLE"] = "1"

import numpy as np
import pytorch_grad_cam as cams
import torch
from make_resnet import named_state, network_of, signed
from oracle_file import philox4x32, write_safetensors
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import nn

METHODS = {"gradcam": cams.GradCAM, "gradcam++": cams.GradCAMPlusPlus, "hirescam": cams.HiResCAM, "xgradcam": cams.XGradCAM,
           "layercam": cams.LayerCAM, "eigencam": cams.EigenCAM, "eigengradcam": cams.EigenGradCAM, "scorecam": cams.ScoreCAM,
           "ablationcam": cams.AblationCAM}
SIDE, CLASSES, APART = 64, [0, 3], 1e-2
DIFFERENCE, SEVERAL = [{0: 1, 3: -1}, {3: 1, 5: -1}], [{0: 1, 1: 1, 2: 1}, {3: 1, 4: 1}]
STEPS, SAMPLES, LEVEL, SEED, PURPOSE, NUDGE = 16, 4, .15, 1, 9, 2e-6


class Logits(nn.Module):
    """The network of make_resnet.py, returning only the logits."""
    def __init__(self):
        super().__init__()
        self.network = network_of(named_state()).eval()

    def forward(self, x):
        return self.network(x)[0]


def combination(terms):
    return lambda logits: sum(factor * logits[c] for c, factor in terms.items())


def explain(method, model, x, targets, layers=("layer3",), **options):
    """The results of get_cam_image for the last layer, and of the call."""
    raw = []

    class Kept(METHODS[method]):
        def get_cam_image(self, *arguments, **named):
            raw.append(super().get_cam_image(*arguments, **named))
            return raw[-1]

    with Kept(model, [getattr(model.network, name) for name in layers]) as cam:
        image = cam(x, targets, **options)
    return np.float64(raw[-1]), image[:, ::3, ::3]


def assert_apart(maps):
    """Checks that no two of them are the same picture, whatever the sign."""
    flat = {name: m.reshape(len(m), -1) / np.abs(m).max(axis=(1, 2))[:, None] for name, m in maps.items()}
    for a in flat:
        for b in flat:
            nearest = min(np.abs(flat[a] - flat[b]).max(1).min(), np.abs(flat[a] + flat[b]).max(1).min())
            assert a == b or nearest > APART, f"{a} and {b} are {nearest:.1e} apart"


def gradient(model, x, target=0):
    x = x.detach().requires_grad_()
    return torch.autograd.grad(model(x)[:, target].sum(), x)[0]


def sampled(x):
    """(3,H,W) as (h,w,3), every third row and column."""
    return np.float32(x.detach().permute(1, 2, 0).numpy()[::3, ::3])


def integrated(model, x):
    return x[0] * sum(gradient(model, x * ((i + .5) / STEPS))[0] for i in range(STEPS)) / STEPS


def noise(sample, n):
    """n normal numbers by Box and Muller: element 2 i and 2 i + 1 from the first two words of RandomKey{seed, purpose, item = sample}.block(i)."""
    blocks = np.arange((n + 1) // 2, dtype=np.uint64)
    fixed = [np.zeros_like(blocks) + np.uint64(v) for v in (sample, 0, PURPOSE)]
    words = philox4x32((blocks, *fixed), (SEED, 0)).astype(np.float64)
    radius, angle = np.sqrt(-2 * np.log((words[:, 0] + .5) * 2**-32)), 2 * math.pi * words[:, 1] * 2**-32
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).reshape(-1)[:n]


def smoothgrad(model, x):
    sigma = LEVEL * (x.max() - x.min())
    total = 0
    for sample in range(SAMPLES):
        drawn = torch.from_numpy(noise(sample, SIDE * SIDE * 3)).view(1, SIDE, SIDE, 3).permute(0, 3, 1, 2)
        total = total + gradient(model, x + sigma * drawn)[0]
    return total / SAMPLES


def assert_away_from_kinks(method, model, x):
    """Where a ReLU's input is as close to zero as the error of f32, its gradient is not determined in f32: a small change of the picture
    must not matter."""
    middle = method(model, x)
    for factor in 1 - NUDGE, 1 + NUDGE:
        moved = ((method(model, x * factor) - middle).abs().max() / middle.abs().max()).item()
        assert moved < NUDGE, f"{method.__name__} moves by {moved:.1e}: another SEED?"


@torch.no_grad()
def occlusion(model, x, window=16, stride=8):
    total, squares = np.zeros((SIDE, SIDE)), np.zeros((SIDE, SIDE))
    for top in range(0, SIDE - window + 1, stride):
        for left in range(0, SIDE - window + 1, stride):
            place = np.s_[top:top + window, left:left + window]
            covered = x.clone()
            covered[0][:, *place] = 0
            total[place] += (model(x) - model(covered))[0, 0].item()
            squares[place] += 1
    return np.float32(total / squares)[::3, ::3]


def main():
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "cams"
    torch.set_num_threads(1)
    x = (2 * signed("input", 2 * SIDE * SIDE * 3)).float().double().view(2, SIDE, SIDE, 3).permute(0, 3, 1, 2).contiguous()
    model, targets = Logits(), [ClassifierOutputTarget(c) for c in CLASSES]
    maps = {name: explain(name, model, x, targets)[0] for name in METHODS}
    assert_apart(maps)
    arrays = {f"raw.{name}": m for name, m in maps.items()}
    difference, several = ([combination(t) for t in terms] for terms in (DIFFERENCE, SEVERAL))
    arrays["raw.gradcam.difference"] = explain("gradcam", model, x, difference)[0]
    arrays["raw.gradcam.several"] = explain("gradcam", model, x, several)[0]
    images = {"gradcam": explain("gradcam", model, x, difference)[1],
              "fused": explain("gradcam", model, x, difference, layers=("layer3", "layer4"))[1],
              "smooth": explain("gradcam", model, x, difference, aug_smooth=True)[1]}
    assert all(image.max() > .5 for pair in images.values() for image in pair), "an image of zeros says nothing"
    arrays |= {f"image.{name}": image for name, image in images.items()}
    first = x[:1]
    assert_away_from_kinks(smoothgrad, model, first)
    arrays |= {"integrated": sampled(integrated(model, first)), "smoothgrad": sampled(smoothgrad(model, first)),
               "occlusion": occlusion(model, first)}
    guided = cams.GuidedBackpropReLUModel(model, device="cpu")(first.clone(), target_category=0)
    arrays["guided"] = np.float32(guided[::3, ::3])
    made_with = ", ".join(f"{name} {version(name).split('+')[0]}" for name in ["grad-cam", "torch", "torchvision", "numpy"])
    write_safetensors(folder / "cams.safetensors", arrays, {"made_with": made_with})


if __name__ == "__main__":
    main()
