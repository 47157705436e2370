#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes tests/oracle/fine_tune/ with fastai's fine_tune: python tests/oracle/make_fine_tune.py [FOLDER]

A vision_learner over torchvision's resnet18 (6 classes, dropout at p = 0, everything else as in fastai: split, freeze with train_bn, Adam,
schedule, recorder) is fine-tuned on drawn pictures, in a given order, without augmentation. Needs torch 2.11, torchvision 0.26, fastai 2.8.

Parameters and buffers come from their names by make_resnet.py's formulas. Training picture i (size x size) has the label i % 6 and is named
"train.i" (validation: "valid.i"); with u_k = units(name)[k] for k = (y size + x) 3 + c, and s = x for even labels, y for odd ones,

  pixel = 40 + floor(116 u_k) + (60 where (s >> (label / 2 % 3 + 1)) is even, else 0)                            an 8-bit number

Epoch e of the run (counted on over both fits) takes the training pictures in the order that sorts units("order.e") upwards, ties by index.

  ten_steps.safetensors      in double. 36 pixels, 8 training pictures in batches of 4, 6 validation pictures in batches of 4;
                             fine_tune(4, base_lr=1e-3): 2 frozen steps, 8 unfrozen ones. The network's input is (pixel / 255 - mean) / std
                             in double with the f32 numbers that ImageNet's mean and std are in both programs. fastai rounds to f32 every
                             value that it makes a tensor of, also the logits before the loss and the schedule's positions: not here, see
                             exact_tensor.
  forty_losses.safetensors   in f32 on the host with fastai's own batch transforms. 64 pixels, 32 training pictures in batches of 8,
                             12 validation pictures; fine_tune(9, base_lr=1e-3): 4 frozen steps, 36 unfrozen ones. Once in PyTorch's usual
                             layout (no suffix) and once, with suffix ".channels_last", with pictures and convolution weights in that
                             layout: the effect of f32 on the same fit.

Each holds, all F64:
  loss (steps), train_loss (steps)         of each batch, and fastai's smoothed value after it
  valid_loss (epochs), accuracy (epochs)   of both fits in turn
  moved (tensors,17)                       the total change of each parameter or buffer, end - start: its L2 norm, then the sums of its
                                           elements under 16 patterns of signs. Element i, in Mirilla's layout, counts with - in sum j
                                           where bit j of floor(2^24 units("signs.<tensor>")[i]) is set, else with +. The mean of the
                                           squares of 16 such sums of a difference estimates its squared norm.
and in the metadata "tensors", the rows of `moved`, and "lines": the output of fastai as shown in a terminal, times as mm:ss.

events.json has fits with planted events, under the course's callbacks (ShowGraph, EarlyStopping(patience=3), SaveModel), on 8x8
pictures in batches of 2: four to train on, four to validate on (labels 1, 0, 2, 3). So that the same happens everywhere, losses are
planted: before each batch head.6.weight becomes 0, and head.6.bias 1 in channel 0 and 0 elsewhere, so that a picture's logits are column 0
of head.8.weight; and this becomes `loss` for one class, `top`, and 0 for the others. `loss` is so large that cross entropy is exactly
`loss` for pictures of the other classes and 0 for those of `top`. Everything else is an ordinary fit. A list of

  name, dtype ("float64", "float32"), epochs and freeze_epochs of fine_tune, train_labels
  train, valid   [top, loss] of each epoch, both fits in turn
  nan            [fit, epoch, batch] before which NaN is planted instead of `loss`, or null
  lines          the output of fastai; times as mm:ss
  kept           for each fit, the [fit, epoch] whose weights and statistics the network has after it, to the bit
"""
import contextlib
import hashlib
import io
import json
import re
import sys
import tempfile
import warnings
from pathlib import Path

import fastai
import fastai.callback.core
import fastai.callback.schedule
import fastai.learner
import fastai.torch_core
import numpy as np
import torch
import torchvision
from fastai.vision.all import (Callback, CrossEntropyLossFlat, DataLoaders, EarlyStoppingCallback, IntToFloatTensor, Normalize,
                               SaveModelCallback, ShowGraphCallback, TensorCategory, TensorImage, TfmdDL, accuracy, imagenet_stats,
                               resnet18, vision_learner)
from make_resnet import value_of
from oracle_file import units, write_safetensors

CLASSES = 6
BODY = {"0": "conv1", "1": "bn1", "4": "layer1", "5": "layer2", "6": "layer3", "7": "layer4"}
SUMS = 16
IN_FLOAT = [IntToFloatTensor(), Normalize.from_stats(*imagenet_stats, cuda=False)]

VARIED = [1, 0, 2, 3]
EVENTS = [
    {"name": "an early stop", "dtype": "float64", "train_labels": VARIED, "epochs": 10, "freeze_epochs": 3, "nan": None,
     "train": [[4, 41], [0, 40.5], [4, 43.25]] + [[4, 45 - e / 4] for e in range(10)],
     "valid": [[4, 48], [4, 44], [1, 60],  # 45: a quarter of the pictures has loss 0
               [4, 60], [4, 52], [4, 52], [0, 80], [4, 50], [4, 51], [4, 50], [2, 88], [4, 40], [4, 40]]},
    {"name": "a NaN at a batch", "dtype": "float64", "train_labels": VARIED, "epochs": 6, "freeze_epochs": 1, "nan": [1, 1, 1],
     "train": [[4, 50 - e] for e in range(7)], "valid": [[4, 50], [0, 56], [4, 41], [4, 40], [4, 40], [4, 40], [4, 40]]},
    {"name": "NaN from a fit's first batch", "dtype": "float64", "train_labels": VARIED, "epochs": 5, "freeze_epochs": 1, "nan": [1, 0, 0],
     "train": [[4, 50]] * 6, "valid": [[4, 50]] * 6},
    # fastai's smoothing in f32 loses the sixth decimal even of a constant, unless it is 0.
    {"name": "losses in f32", "dtype": "float32", "train_labels": [4, 4, 4, 4], "epochs": 3, "freeze_epochs": 1, "nan": None,
     "train": [[4, 40]] * 4, "valid": [[4, 40.9], [0, 58.7], [0, 47.3], [5, 66.3]]},
]


def our_name(name):
    """fastai's 0.4.0.conv1.weight is layer1.0.conv1.weight, its 1.8.weight is head.8.weight."""
    part, index, *rest = name.split(".")
    return ".".join([BODY[index], *rest] if part == "0" else ["head", index, *rest])


def picture(name, label, size):
    """(3,size,size) uint8."""
    values = np.floor(116 * units(name, size * size * 3)).reshape(size, size, 3)
    y, x = np.mgrid[:size, :size]
    bright = ((y if label % 2 else x) >> (label // 2 % 3 + 1)) % 2 == 0
    return torch.from_numpy((40 + values + 60 * bright[:, :, None]).astype(np.uint8)).permute(2, 0, 1).contiguous()


def order(epoch, n):
    return np.argsort(units(f"order.{epoch}", n), kind="stable").tolist()


class GivenOrder(TfmdDL):
    """A loader that takes its pictures in order(0), order(1), ... from epoch to epoch."""
    epoch = -1

    def get_idxs(self):
        self.epoch += 1
        return order(self.epoch, self.n)


def to_double(x: TensorImage):
    mean, std = (torch.tensor(numbers, dtype=torch.float32).double().view(3, 1, 1) for numbers in imagenet_stats)
    return (x.double() / 255 - mean) / std


def pictures(part, labels, size):
    return [(TensorImage(picture(f"{part}.{i}", label, size)), TensorCategory(label)) for i, label in enumerate(labels)]


def loaders(size, train, valid, batch_size, transforms):
    """Labels of both parts -> fastai's loaders."""
    parts = pictures("train", train, size), pictures("valid", valid, size)
    options = {"bs": batch_size, "num_workers": 0, "device": torch.device("cpu"), "after_batch": transforms}
    return DataLoaders(GivenOrder(parts[0], drop_last=True, **options), TfmdDL(parts[1], **options), device=torch.device("cpu"))


def named_learner(dls, folder, callbacks=()):
    """fastai's learner for the course, with values computed from the names. Not `pretrained`: that would fetch weights and freeze, and
    fine_tune freezes anyway."""
    learn = vision_learner(dls, resnet18, pretrained=False, n_out=CLASSES, loss_func=CrossEntropyLossFlat(), metrics=accuracy, path=folder,
                           cbs=list(callbacks))
    for module in learn.model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.
    dtype = torch.get_default_dtype()
    learn.model.to(dtype)
    learn.model.load_state_dict({name: value_of(our_name(name), x.shape).to(dtype) if x.is_floating_point() else x
                                 for name, x in learn.model.state_dict().items()})
    return learn


class Losses(Callback):
    """The results of each batch and epoch of all fits."""
    run_valid = False

    def __init__(self):
        self.batches, self.smooth, self.rows = [], [], []

    def after_loss(self):
        self.batches.append(self.learn.loss.item())

    def after_fit(self):
        self.smooth += [x.item() for x in self.recorder.losses]
        self.rows += [list(row) for row in self.recorder.values]


class ChannelsLast(Callback):
    order = 10

    def before_batch(self):
        self.learn.xb = tuple(x.contiguous(memory_format=torch.channels_last) for x in self.xb)


def ours(x):
    """Flat, in Mirilla's layout."""
    return (x.permute(0, 2, 3, 1) if x.dim() == 4 else x).double().contiguous().view(-1).numpy()


def movement(model):
    """(names, (tensors,17))"""
    names, rows = [], []
    for name, x in model.state_dict().items():
        if not x.is_floating_point():
            continue
        name = our_name(name)
        moved = ours(x.detach()) - ours(value_of(name, x.shape))
        bits = (units(f"signs.{name}", moved.size) * 2**24).astype(np.int64)
        names.append(name)
        rows.append([np.sqrt(np.sum(moved**2)), *(np.sum(np.where(bits >> j & 1, -moved, moved)) for j in range(SUMS))])
    return names, np.array(rows)


def shown(text):
    """The lines that remain on a terminal, where "\\r" overwrites a line; times masked."""
    lines = [line.rstrip("\r").rsplit("\r", 1)[-1] for line in text.split("\n")]
    return [re.sub(r"\b\d\d:\d\d\b", "mm:ss", line) for line in lines if line.strip()]


def exact_tensor(x, *rest, **kwargs):
    """fastai's tensor() without its last step, which rounds doubles to f32: logits before the loss, the schedule's breakpoints."""
    if rest:
        x = (x, *rest)
    return x if isinstance(x, torch.Tensor) else torch.tensor(x if isinstance(x, (int, float)) else list(x), **kwargs)


@contextlib.contextmanager
def in_double():
    modules = [fastai.torch_core, fastai.learner, fastai.callback.core, fastai.callback.schedule]
    rounding = fastai.torch_core.tensor
    torch.set_default_dtype(torch.float64)
    for module in modules:
        module.tensor = exact_tensor
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)
        for module in modules:
            module.tensor = rounding


def fine_tuned(dls, epochs, channels_last=False):
    """The results of one fine_tune, and the metadata."""
    losses = Losses()
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()) as out:
        learn = named_learner(dls, Path(folder), [losses, ChannelsLast()] if channels_last else [losses])
        if channels_last:
            learn.model.to(memory_format=torch.channels_last)
        learn.fine_tune(epochs, base_lr=1e-3)
    names, moved = movement(learn.model)
    values = {"loss": losses.batches, "train_loss": losses.smooth, "valid_loss": [row[1] for row in losses.rows],
              "accuracy": [row[2] for row in losses.rows], "moved": moved}
    facts = {"tensors": " ".join(names), "lines": "\n".join(shown(out.getvalue()))}
    return {name: np.array(x, np.float64) for name, x in values.items()}, facts


def cycled(n):
    return [i % CLASSES for i in range(n)]


def ten_steps():
    with in_double():
        return fine_tuned(loaders(36, cycled(8), cycled(6), 4, [to_double]), 4)


def forty_losses(channels_last):
    return fine_tuned(loaders(64, cycled(32), cycled(12), 8, IN_FLOAT), 9, channels_last)


class Planted(Callback):
    """Gives each batch the planned logits, and finds which epoch's weights a fit leaves in the network."""
    order = 55  # after the recorder, before the callbacks that stop

    def __init__(self, event):
        self.event, self.fits, self.epochs, self.seen, self.kept = event, 0, 0, {}, []

    def before_batch(self):
        top, loss = self.event["train" if self.training else "valid"][self.epochs]
        if self.training and self.event["nan"] == [self.fits, self.epoch, self.iter]:
            loss = float("nan")
        norm, last = self.model[1][6], self.model[1][8]
        with torch.no_grad():
            norm.weight.zero_()
            norm.bias.zero_()
            norm.bias[0] = 1
            last.weight[:, 0] = 0
            last.weight[top, 0] = loss

    def fingerprint(self):
        digest = hashlib.sha256()
        for x in self.model.state_dict().values():
            digest.update(x.contiguous().numpy().tobytes())
        return digest.hexdigest()

    def after_epoch(self):
        self.seen[self.fingerprint()] = [self.fits, self.epoch]
        self.epochs += 1


class Kept(Callback):
    order = 70  # after the callbacks that load

    def after_fit(self):
        planted = self.learn.planted
        planted.kept.append(planted.seen[planted.fingerprint()])
        planted.fits += 1
        planted.epochs = planted.event["freeze_epochs"]


def happened(event):
    """The event with fastai's results."""
    planted = Planted(event)
    callbacks = [ShowGraphCallback(), EarlyStoppingCallback(patience=3), SaveModelCallback(fname="modelResnet18"), planted, Kept()]
    precise = event["dtype"] == "float64"
    with in_double() if precise else contextlib.nullcontext(), tempfile.TemporaryDirectory() as folder:
        with contextlib.redirect_stdout(io.StringIO()) as out:
            dls = loaders(8, event["train_labels"], VARIED, 2, [to_double] if precise else IN_FLOAT)
            learn = named_learner(dls, Path(folder), callbacks)
            learn.fine_tune(event["epochs"], base_lr=1e-3, freeze_epochs=event["freeze_epochs"])
    return event | {"lines": shown(out.getvalue()), "kept": planted.kept}


def main():
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "fine_tune"
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    versions = {"torch": torch, "torchvision": torchvision, "fastai": fastai}
    made_with = ", ".join(f"{name} {module.__version__.split('+')[0]}" for name, module in versions.items())
    folder.mkdir(parents=True, exist_ok=True)
    events = {"made_with": made_with, "events": [happened(event) for event in EVENTS]}
    (folder / "events.json").write_text(json.dumps(events, indent=1) + "\n")
    values, facts = ten_steps()
    write_safetensors(folder / "ten_steps.safetensors", values, {"made_with": made_with} | facts)
    values, facts = forty_losses(False)
    other, _ = forty_losses(True)
    values |= {f"{name}.channels_last": x for name, x in other.items()}
    write_safetensors(folder / "forty_losses.safetensors", values, {"made_with": made_with} | facts)


if __name__ == "__main__":
    main()
