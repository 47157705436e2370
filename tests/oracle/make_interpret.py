# SPDX-License-Identifier: MIT
"""The results of fastai's ClassificationInterpretation for given logits: interpret/interpret.json.

A learner whose network looks up its logits (a picture's colour is its number) runs through fastai's from_learner, confusion_matrix,
plot_confusion_matrix, most_confused, print_classification_report, top_losses and plot_top_losses. A list of cases, each with

  name, names          the case, the vocabulary
  logits, targets      (n, classes) multiples of 2^-11 from Philox, and (n)
  confusion            rows actual, columns predicted
  cells, normalized    the plotted matrix without and with normalize=True: [text, "white" or "black", [r, g, b]] row by row
  most_confused        [actual, predicted, count]
  report               what print_classification_report prints, line by line
  top_losses           [loss, caption] of plot_top_losses(k); k is chosen so that it does not separate equal losses
  losses               all of top_losses(), as f32

The cases: three classes; six with many equal counts; classes that no picture has, that nothing was predicted as, and both, with pictures
that occur several times and logits that are equal; no mistake at all; ten classes.
"""
import contextlib
import io
import json
import pathlib
import sys
import warnings

import matplotlib

matplotlib.use("Agg")
import fastai
import matplotlib.pyplot as plt
import numpy as np
import sklearn
import torch
from fastai.vision.all import (CategoryBlock, ClassificationInterpretation, CrossEntropyLossFlat, DataBlock, ImageBlock, Learner,
                               PILImage)

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from oracle_file import units

PHOTOS = ["buildings", "forest", "glacier", "mountain", "sea", "street"]


def logits_of(name, n, classes, targets, skill):
    """Multiples of 2^-8 in [-4, 4), the right class helped by `skill`."""
    logits = np.floor(units(f"interpret.{name}.logits", n * classes) * 2048).reshape(n, classes) / 256 - 4
    logits[np.arange(n), targets] += skill
    return logits


def targets_of(name, n, classes):
    return np.floor(units(f"interpret.{name}.targets", n) * classes).astype(int).tolist()


def case(name, names, n, skill, having=None):
    having = list(range(len(names))) if having is None else having
    targets = [having[t] for t in targets_of(name, n, len(having))]
    return {"name": name, "names": names, "logits": logits_of(name, n, len(names), targets, skill), "targets": targets}


def cases():
    gaps = case("gaps", ["ardilla", "ciervo", "lobo", "montaña", "zorro", "zorro volador de Filipinas"], 48, 1.5, having=[0, 2, 3, 5])
    gaps["logits"][:, [1, 5]] -= 16  # nothing is predicted as these: class 1 has no picture, class 5 has some, class 4 is predicted only
    gaps["logits"][40:44] = gaps["logits"][3]  # the same picture several times
    gaps["targets"][40:44] = [gaps["targets"][3]] * 4
    gaps["logits"][44] = [1, 0, 3, 3, 3, 0]  # three likeliest classes
    right = case("right", ["no", "yes"], 12, 16.0)
    right["logits"] /= 8  # losses far enough from 0 that f32 has digits for them
    return [case("three", ["a", "b", "c"], 40, 1.0), case("photos", PHOTOS, 120, 2.0), gaps, right,
            case("ten", [f"class {i}" for i in range(10)], 100, 3.0)]


class Lookup(torch.nn.Module):
    def __init__(self, logits):
        super().__init__()
        self.logits = torch.nn.Parameter(torch.tensor(logits, dtype=torch.float32))

    def forward(self, x):  # (n,3,2,2), the picture's number / 255 everywhere
        return self.logits[(x[:, 0, 0, 0] * 255).round().long()]


def interpretation(case):
    n = len(case["targets"])
    block = DataBlock(blocks=(ImageBlock, CategoryBlock(vocab=case["names"])), splitter=lambda items: ([0], list(range(n))),
                      get_x=lambda i: PILImage.create(np.full((2, 2, 3), i, np.uint8)), get_y=lambda i: case["names"][case["targets"][i]])
    dls = block.dataloaders(list(range(n)), bs=32, num_workers=0, device=torch.device("cpu"))
    learn = Learner(dls, Lookup(case["logits"]), loss_func=CrossEntropyLossFlat())
    with learn.no_bar():
        return learn, ClassificationInterpretation.from_learner(learn)


def plotted(interp, normalize):
    interp.plot_confusion_matrix(normalize=normalize)
    axes = plt.gcf().axes[0]
    image = axes.images[0]
    colors = image.to_rgba(image.get_array(), bytes=True).reshape(-1, 4)
    colors = [[int(v) for v in c[:3]] if c[3] else [255, 255, 255] for c in colors]  # masked squares show the white background
    cells = [[text.get_text(), text.get_color(), color] for text, color in zip(axes.texts, colors, strict=True)]
    plt.close("all")
    return cells


def captions(interp, wanted):
    losses = [float(loss) for loss in interp.top_losses()[0]]
    k = next(k for k in range(wanted, len(losses) + 1) if k == len(losses) or losses[k] != losses[k - 1])
    interp.plot_top_losses(k)
    titles = [axes.get_title() for axes in plt.gcf().axes]
    plt.close("all")
    return [[float(f"{loss:.9g}"), title] for loss, title in zip(losses, titles[:k])], [float(f"{loss:.9g}") for loss in losses]


def report_lines(interp):
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        interp.print_classification_report()
    return printed.getvalue().splitlines()


def answers(case):
    learn, interp = interpretation(case)
    with learn.no_bar(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about divisions by zero
        top, losses = captions(interp, 9)
        return {"name": case["name"], "names": case["names"], "logits": np.asarray(case["logits"]).tolist(), "targets": case["targets"],
                "confusion": interp.confusion_matrix().tolist(), "cells": plotted(interp, False), "normalized": plotted(interp, True),
                "most_confused": [[a, p, int(count)] for a, p, count in interp.most_confused()], "report": report_lines(interp),
                "top_losses": top, "losses": losses}


def main():
    torch.set_num_threads(1)
    out = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent) / "interpret"
    out.mkdir(parents=True, exist_ok=True)
    versions = {"fastai": fastai.__version__, "torch": torch.__version__.split("+")[0], "sklearn": sklearn.__version__,
                "matplotlib": matplotlib.__version__, "numpy": np.__version__}
    lines = ",\n".join(json.dumps(answers(c), ensure_ascii=False, separators=(",", ":")) for c in cases())
    (out / "interpret.json").write_text(f'{{"made_with":{json.dumps(versions)},\n"cases":[\n{lines}\n]}}\n', encoding="utf-8")


if __name__ == "__main__":
    main()
