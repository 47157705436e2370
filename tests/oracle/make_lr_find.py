#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes tests/oracle/lr_find/ with fastai's lr_find: python tests/oracle/make_lr_find.py [FOLDER]

Needs torch 2.11, torchvision 0.26 and fastai 2.8.12.

suggestions.json   rates, those of LRFinder's 100 iterations; and curves: losses as in the recorder (f32 values, null is NaN),
                   under the first of the rates for `iterations`, and expected, the suggestions of Learner.lr_find with each of its four
                   functions: the rate, and the point (rate, loss) that its plot shows; null where fastai fails. lr_find itself cuts off
                   the first num_it // 10, the last 5, and everything from the first NaN on.
curve.safetensors  runs of Learner.lr_find in f64 on ResNet18 with fastai's head for 6 classes: make_resnet.py's values from the tensors'
                   names, no dropout, no augmentation. The pictures (12,16,16,3) are floor(256 u) of units("lr_find.pictures"), normalised
                   with ImageNet's numbers in f32; the labels i mod 6; batches of 4 in order, so an epoch has 3.
                     <run>.lrs, <run>.losses (k)   of the recorder: k iterations until the loss was above 4 times its smallest, or all
                   "unfrozen" trains all, "frozen" the head and the body's batch norms, "runaway" the same until the loss diverges. The
                   metadata has num_it, start_lr and end_lr of each. They are short, and the first ends at 1e-3, because this training is
                   chaotic even in f64: PyTorch differs from itself between memory layouts by 1e-10 after its 12 steps, by 1e-2 after 25
                   steps up to a rate of .1, and by 2e-9 where the frozen one diverges.
"""
import json
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import fastai
import fastai.learner
import numpy as np
import torch
import torchvision
from fastai.callback.schedule import LRFinder, minimum, slide, steep, valley
from fastai.data.core import DataLoaders
from fastai.data.load import DataLoader
from fastai.learner import Learner
from fastai.optimizer import Adam
from make_resnet import Network, named_state
from oracle_file import units, write_safetensors

RUNS = {"unfrozen": dict(num_it=12, start_lr=1e-7, end_lr=1e-3), "frozen": dict(num_it=12, start_lr=1e-5, end_lr=1),
        "runaway": dict(num_it=8, start_lr=1e-3, end_lr=1e9)}
CLASSES, PICTURES, SIDE, BATCH = 6, 12, 16, 4
IMAGENET = np.array([.485, .456, .406], np.float32), np.array([.229, .224, .225], np.float32)


def rates(num_it):
    return [1e-7 * (10 / 1e-7) ** (i / num_it) for i in range(num_it)]


def curves():
    """name: (num_it, losses)."""
    random = np.random.default_rng(5)
    at = np.arange(100)
    basin = 1.9 - 1.1 / (1 + np.exp(-(at - 55) / 7)) + 9 * np.maximum(0, at - 84.) ** 2 / 225
    noisy = basin + .02 * random.standard_normal(100)
    stairs = np.repeat(np.linspace(2, 1, 20).round(2), 5)
    zigzag = 2 - .01 * at + .02 * (at % 2)
    with_nan = noisy.copy()
    with_nan[90:] = np.nan
    early_nan = noisy.copy()
    early_nan[30] = np.nan
    two_down = np.concatenate([np.ones(10), [2, 1], np.full(88, 3.)])
    return {
        "a basin": (100, basin), "a noisy basin": (100, noisy), "a NaN at the end": (100, with_nan), "a NaN early": (100, early_nan),
        "falling": (100, 2 - .01 * at), "rising": (100, 1 + .03 * at), "plateaus": (100, stairs), "flat": (100, np.full(100, 1.5)),
        "zigzag": (100, zigzag), "falls once, at the start": (100, two_down), "noise": (100, 1 + random.random(100)),
        "stopped at 31 of 100": (100, noisy[:31]), "stopped at 30 of 100": (100, noisy[:30]), "stopped at 16 of 100": (100, noisy[:16]),
        "60 iterations": (60, noisy[::2][:50]), "steep noise": (100, 1 + .5 * random.random(100)),
    }


def suggestions(num_it, losses):
    """The results of lr_find for a recorder's curve: its own code, with a fit that does nothing."""
    lrs = rates(num_it)[:len(losses)]
    out = {}

    class Stub(SimpleNamespace):
        def no_logging(self):
            return tempfile.TemporaryDirectory()

    stub = Stub(dls=SimpleNamespace(train=[0]), fit=lambda *a, **k: None,
                recorder=SimpleNamespace(lrs=lrs, losses=[torch.tensor(float(l)) for l in losses]))
    for rule in valley, slide, minimum, steep:
        kept = []

        def func(*a, rule=rule, kept=kept):
            kept.append(rule(*a))
            return kept[0]

        try:
            result, = Learner.lr_find(stub, num_it=num_it, show_plot=False, suggest_funcs=(func,))
            assert result == kept[0][0]
            out[rule.__name__] = [float(result), float(kept[0][1][0]), float(kept[0][1][1])]
        except (IndexError, RuntimeError, ValueError):  # the curve is too short for it
            out[rule.__name__] = None
    return lrs, out


def write_suggestions(folder, made_with):
    document = []
    for name, (num_it, losses) in curves().items():
        losses = np.asarray(losses, np.float64).round(5).astype(np.float32)
        lrs, expected = suggestions(num_it, losses)
        losses = [None if np.isnan(v) else float(f"{v:.6g}") for v in losses]
        document.append(dict(name=name, iterations=num_it, losses=losses, expected=expected))
    schedule = LRFinder().scheds["lr"]
    document = dict(made_with=made_with, rates=[schedule(i / 100) for i in range(100)], curves=document)
    text = json.dumps(document).replace('{"name"', '\n{"name"')
    (folder / "suggestions.json").write_text(text + "\n")


class OnlyLogits(Network):
    def forward(self, x):
        return super().forward(x)[0]


def data():
    pictures = np.floor(256 * units("lr_find.pictures", PICTURES * SIDE * SIDE * 3)).reshape(PICTURES, SIDE, SIDE, 3)
    mean, std = (stat.astype(np.float64) for stat in IMAGENET)
    x = torch.from_numpy((pictures / 255 - mean) / std).permute(0, 3, 1, 2).contiguous()
    items = [(x[i], torch.tensor(i % CLASSES)) for i in range(PICTURES)]
    return DataLoaders(*(DataLoader(items, bs=BATCH, shuffle=False, drop_last=True, num_workers=0) for _ in range(2)), device="cpu")


def groups(network):
    """fastai's three groups, as vision_learner splits a resnet."""
    first = [network.conv1, network.bn1, network.layer1, network.layer2]
    parameters = [[p for module in part for p in module.parameters()] for part in (first, [network.layer3, network.layer4], [network.head])]
    assert sum(len(group) for group in parameters) == 66
    return parameters


def run(frozen, **options):
    network = OnlyLogits().double()
    network.load_state_dict(named_state())
    before = {name: x.clone() for name, x in network.state_dict().items()}
    with tempfile.TemporaryDirectory() as folder:
        learner = Learner(data(), network, loss_func=torch.nn.CrossEntropyLoss(), opt_func=Adam, splitter=groups, path=folder)
        if frozen:
            learner.freeze()
        with learner.no_bar():
            learner.lr_find(**options, suggest_funcs=None, show_plot=False)
    assert all(torch.equal(x, before[name]) for name, x in network.state_dict().items()), "fastai puts all of it back"
    return np.array(learner.recorder.lrs), np.array([float(loss) for loss in learner.recorder.losses])


def write_curves(folder, made_with):
    torch.set_default_dtype(torch.float64)
    fastai.learner.tensor = torch.tensor  # fastai's converts f64 to f32, and so does its smoothed loss
    tensors, metadata = {}, {"made_with": made_with}
    for name, options in RUNS.items():
        lrs, losses = run(name != "unfrozen", **options)
        print(name, len(losses), losses[:3], losses[-3:])
        tensors |= {f"{name}.lrs": lrs, f"{name}.losses": losses}
        metadata |= {f"{name}.{key}": str(value) for key, value in options.items()}
    write_safetensors(folder / "curve.safetensors", tensors, metadata)


def main():
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent / "lr_find")
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    version = torch.__version__.split("+")[0]
    made_with = f"fastai {fastai.__version__}, torch {version}, torchvision {torchvision.__version__.split('+')[0]}"
    write_suggestions(folder, made_with)
    write_curves(folder, made_with)


if __name__ == "__main__":
    main()
