#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes tests/oracle/cam_measures/measures.json with pytorch-grad-cam and numpy: python tests/oracle/make_cam_measures.py [FOLDER]

The results of the measures of maps (nn/measure/cam_measures.h, nn/measure/road.h) for a picture of 24x24, two maps in [0,1], and a small
network, in float64:

  picture  2 (2 u - 1) of "measures.picture", (H,W,C)
  network  softmax(B max(A x, 0)), x in (H,W,C) order; A (8, 1728) is (2 u - 1) / 12 of "measures.hidden", B (3, 8) 2 u - 1 of "measures.output".
           The class is 2
  maps     "noise": u of "measures.map";  "blob": exp(-((x - 9.3178)^2 + (y - 13.4431)^2 / 2) / 40)
  mask     x >= 8 and y >= 10 and x + y < 30

  whole        the confidence in the picture
  <map>.drop, <map>.increase    DropInConfidence and IncreaseInConfidence of the package: max(0, whole - seen), seen > whole
  <map>.most_first, .least_first    ROAD of the package at the percentiles 20, 50 and 90, but with Mirilla's noise: 0.01 times
               normal numbers of RandomKey{seed 3, purpose 8, step 0, item 0}
  imputed      NoisyLinearImputer without noise on the picture, the strongest pixels of the blob missing (median and more), every third
               pixel
  <map>.insertion, .deletion, .energy, .pointing    numpy, from the papers: areas over 12 steps; the sum inside the mask; the largest value's
               distance to the mask
  change, rank, similarity    of the two maps: |noise - blob| / |noise|; scipy's spearmanr; SSIM over 7x7 windows
"""
import json
import math
import sys
from pathlib import Path

import numpy as np
import torch
from oracle_file import philox4x32, units
from pytorch_grad_cam.metrics.cam_mult_image import DropInConfidence, IncreaseInConfidence
from pytorch_grad_cam.metrics.perturbation_confidence import (AveragerAcrossThresholds, PerturbationConfidenceMetric, RemoveLeastRelevantFirst,
                                                              RemoveMostRelevantFirst)
from pytorch_grad_cam.metrics.road import NoisyLinearImputer
from pytorch_grad_cam.utils.model_targets import ClassifierOutputSoftmaxTarget
from scipy.stats import spearmanr

SIDE, HIDDEN, CLASSES, CLASS, STEPS, PERCENTS, SEED, PURPOSE = 24, 8, 3, 2, 12, [20, 50, 90], 3, 8


class Network(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = torch.from_numpy((2 * units("measures.hidden", HIDDEN * SIDE * SIDE * 3) - 1) / 12).view(HIDDEN, -1)
        self.output = torch.from_numpy(2 * units("measures.output", CLASSES * HIDDEN) - 1).view(CLASSES, HIDDEN)

    def forward(self, x):  # (N,C,H,W) -> logits
        x = x.double().permute(0, 2, 3, 1).flatten(1)
        return (x @ self.hidden.T).relu() @ self.output.T


def normal_numbers(n):
    blocks = np.arange((n + 1) // 2, dtype=np.uint64)
    fixed = [np.zeros_like(blocks) + np.uint64(v) for v in (0, 0, PURPOSE)]
    words = philox4x32((blocks, *fixed), (SEED, 0)).astype(np.float64)
    radius, angle = np.sqrt(-2 * np.log((words[:, 0] + .5) * 2**-32)), 2 * math.pi * words[:, 1] * 2**-32
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).reshape(-1)[:n]


class Imputer:
    """The package's imputer, with Mirilla's noise in place of its own."""
    def __init__(self):
        self.noise = torch.from_numpy(.01 * normal_numbers(SIDE * SIDE * 3)).view(SIDE, SIDE, 3).permute(2, 0, 1)

    def __call__(self, picture, mask):
        return NoisyLinearImputer(noise=0)(picture.float(), mask).double() + self.noise * (mask == 0)


def road(first, x, cam, targets, model):
    one = lambda percentile: PerturbationConfidenceMetric(first(percentile, Imputer()))
    averager = AveragerAcrossThresholds(one, PERCENTS)
    averager.imputer = lambda percentile: lambda *arguments: one(percentile)(*arguments, return_diff=False)
    return float(averager(x, cam[None], targets, model)[0])


def blurred(picture):
    i = np.arange(SIDE)
    weights = np.exp(-(i[:, None] - i[None]) ** 2 / (2 * 5**2)) * (abs(i[:, None] - i[None]) <= 15)
    weights /= weights.sum(1, keepdims=True)
    return np.einsum("ij,kl,jlc->ikc", weights, weights, picture)


def curve_area(start, end, cam, confidence):
    order = np.argsort(-cam.reshape(-1))
    pictures, scores = start.reshape(-1, 3).copy(), []
    for step in range(STEPS + 1):
        done = order[:step * SIDE * SIDE // STEPS]
        pictures[done] = end.reshape(-1, 3)[done]
        scores.append(confidence(pictures.reshape(SIDE, SIDE, 3)))
    return float(np.trapz(scores, dx=1 / STEPS))


def similarity(a, b):
    windows = [np.lib.stride_tricks.sliding_window_view(m, (7, 7)).reshape(-1, 49) for m in (a, b)]
    (ma, mb), (va, vb) = ([w.mean(1) for w in windows], [w.var(1, ddof=1) for w in windows])
    covariance = ((windows[0] - ma[:, None]) * (windows[1] - mb[:, None])).sum(1) / 48
    c1, c2 = .01**2, .03**2
    return float(((2 * ma * mb + c1) * (2 * covariance + c2) / ((ma**2 + mb**2 + c1) * (va + vb + c2))).mean())


def of_map(cam, picture, mask, model):
    x, targets = torch.from_numpy(picture).permute(2, 0, 1)[None], [ClassifierOutputSoftmaxTarget(CLASS)]

    def confidence(pixels):
        return torch.softmax(model(torch.from_numpy(pixels).permute(2, 0, 1)[None])[0], 0)[CLASS].item()

    y, x0 = np.unravel_index(cam.argmax(), cam.shape)
    ys, xs = np.nonzero(mask)
    return {"drop": float(DropInConfidence()(x, cam[None], targets, model)[0]),
            "increase": float(IncreaseInConfidence()(x, cam[None], targets, model)[0]),
            "most_first": road(RemoveMostRelevantFirst, x, cam, targets, model),
            "least_first": road(RemoveLeastRelevantFirst, x, cam, targets, model),
            "insertion": curve_area(blurred(picture), picture, cam, confidence),
            "deletion": curve_area(picture, np.zeros_like(picture), cam, confidence),
            "energy": float(cam[mask].sum() / cam.sum()),
            "pointing": float(np.sqrt((ys - y)**2 + (xs - x0)**2).min()),
            "whole": confidence(picture)}


def main():
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "cam_measures"
    torch.set_num_threads(1)
    y, x = np.mgrid[:SIDE, :SIDE]
    picture = (2 * (2 * units("measures.picture", SIDE * SIDE * 3) - 1)).reshape(SIDE, SIDE, 3)
    maps = {"noise": units("measures.map", SIDE * SIDE).reshape(SIDE, SIDE), "blob": np.exp(-((x - 9.3178)**2 + (y - 13.4431)**2 / 2) / 40)}
    assert all(len(np.unique(m)) == m.size for m in maps.values()), "ties would be broken otherwise there than here"
    mask, model = (x >= 8) & (y >= 10) & (x + y < 30), Network()
    results = {f"{name}.{key}": value for name, m in maps.items() for key, value in of_map(m, picture, mask, model).items()}
    stays = torch.from_numpy(np.float32(maps["blob"] < np.percentile(maps["blob"], 50)))
    imputed = NoisyLinearImputer(noise=0)(torch.from_numpy(picture).permute(2, 0, 1).float(), stays).permute(1, 2, 0).reshape(-1, 3)
    results |= {"imputed": [round(v, 7) for v in imputed[::3].reshape(-1).tolist()],
                "change": float(np.linalg.norm(maps["noise"] - maps["blob"]) / np.linalg.norm(maps["noise"])),
                "rank": float(spearmanr(maps["noise"].reshape(-1), maps["blob"].reshape(-1)).statistic),
                "similarity": similarity(maps["noise"], maps["blob"])}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "measures.json").write_text(json.dumps(results, indent=0) + "\n")


if __name__ == "__main__":
    main()
