#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes tests/oracle/training/ with fastai's Learner: python tests/oracle/make_training.py [FOLDER]

Needs torch 2.11, torchvision 0.26 and fastai 2.8.12. `made_with` in each file says so.

schedule.safetensors: the values that fine_tune(epochs, 1e-3) of a vision_learner over resnet18 sets before each training batch, both phases
in a row. Cases are "course" (10 epochs of 24 batches) and "long" (1 epoch of 104 batches: the frozen phase reaches its second part, which
it does from 101 on); `epochs` and `batches` of each are in the metadata. All F64:

  <case>.lr (steps,3), <case>.momentum (steps)   as in fastai, which computes positions in f32
  <case>.lr.f64, <case>.momentum.f64             the same code with positions in f64

adam.safetensors: 50 steps of fastai's Adam as set up by vision_learner, in f64. The model is Sequential(Conv2d(5,2,3) without bias,
BatchNorm2d(2), Linear(7,5), BatchNorm1d(3), Linear(3,1)), in groups [0,1], [2], [3,4]. It is frozen for 15 steps (norms of a frozen group train), then
unfrozen, which forgets moments and counts. In the unfrozen part parameter number i has no gradient at step t where (t + i) mod 7 = 0. Values
are in Mirilla's layout and in f32's numbers, from units() of a name: a parameter starts as 2 u - 1 of its name; element j of its gradient
at step t is (2 u - 1) 10^-(j mod 5) of "<name>.gradient.<t>", t from 0.

  rates (50,3), momenta (50)                     the values of each step
  after<k>.<parameter>                           after k = 1, 15, 16, 30, 50 steps
  m.<parameter>, v.<parameter>                   at the end
  steps.<parameter> () I64                       how many steps its state counts at the end
  and in the metadata, f32: the largest distance of these in fastai's own f32, relative to the norm

scaler.json: the results of fastai's MixedPrecision with PyTorch's GradScaler over a series of planted overflows. A case has `interval`, and
for each of its fits `steps`, `skipped` (the steps whose gradients were infinite, which it left out), `begin` (the scale before the first
step), `scales` and `streaks` (GradScaler's growth tracker) after each step as runs [value, how often] and, of the streaks, [first value,
how many steps it rose by one].
"""
import json
import sys
import warnings
from pathlib import Path

import fastai
import torch
import torchvision
from fastai.callback import fp16, schedule
from fastai.vision.all import (Adam, Callback, CancelBatchException, CancelValidException, DataLoaders, Learner, params, resnet18,
                               vision_learner)
from oracle_file import units, write_safetensors
from torch import nn

VERSIONS = [("torch", torch), ("torchvision", torchvision), ("fastai", fastai)]
MADE_WITH = ", ".join(f"{name} {module.__version__.split('+')[0]}" for name, module in VERSIONS)


def loaders(xs, batch_size=1):
    """One number per picture, in the order given."""
    pairs = [(torch.tensor([float(x)]), torch.tensor([0.])) for x in xs]
    dls = DataLoaders.from_dsets(pairs, pairs[:1], bs=batch_size, shuffle=False, drop_last=False, num_workers=0, device="cpu")
    dls.c = 6
    return dls


class NoValidation(Callback):
    def before_validate(self):
        raise CancelValidException()


class Hypers(Callback):
    """Records the optimizer's settings and skips the batch."""
    order = 100

    def __init__(self):
        self.rates, self.momenta = [], []

    def before_batch(self):
        self.rates.append([h["lr"] for h in self.opt.hypers])
        momenta = {h["mom"] for h in self.opt.hypers}
        assert len(momenta) == 1
        self.momenta.append(momenta.pop())
        raise CancelBatchException()


def hypers_of(epochs, batches):
    hypers = Hypers()
    learner = vision_learner(loaders(range(batches)), resnet18, pretrained=False, loss_func=nn.MSELoss(), cbs=[hypers, NoValidation()])
    with learner.no_bar(), learner.no_logging():
        learner.fine_tune(epochs, 1e-3)
    return torch.tensor(hypers.rates, dtype=torch.float64), torch.tensor(hypers.momenta, dtype=torch.float64)


def schedules():
    cases = {"course": {"epochs": 10, "batches": 24}, "long": {"epochs": 1, "batches": 104}}
    tensors = {}
    for name, case in cases.items():
        tensors[f"{name}.lr"], tensors[f"{name}.momentum"] = hypers_of(**case)
        positions = schedule.tensor
        schedule.tensor = lambda x: torch.tensor(x, dtype=torch.float64)  # fastai's own converts to f32
        tensors[f"{name}.lr.f64"], tensors[f"{name}.momentum.f64"] = hypers_of(**case)
        schedule.tensor = positions
    return tensors, {name: json.dumps(case) for name, case in cases.items()}


def named(name, shape, tens=False):
    """A tensor of PyTorch's shape from its name, in the order of Mirilla's layout."""
    n = shape.numel()
    values = 2 * torch.from_numpy(units(name, n)) - 1
    if tens:
        values = values * torch.tensor([1, .1, .01, 1e-3, 1e-4], dtype=torch.float64)[torch.arange(n) % 5]
    values = values.float().double()
    if len(shape) == 4:
        k, c, r, s = shape
        return values.view(k, r, s, c).permute(0, 3, 1, 2).contiguous()
    return values.view(shape)


def ours(x):
    return x.permute(0, 2, 3, 1).contiguous() if x.dim() == 4 else x.clone()


def adam(dtype=torch.float64):
    model = nn.Sequential(nn.Conv2d(5, 2, 3, bias=False), nn.BatchNorm2d(2), nn.Linear(7, 5), nn.BatchNorm1d(3), nn.Linear(3, 1)).to(dtype)
    for name, parameter in model.named_parameters():
        parameter.data.copy_(named(name, parameter.shape))
    splitter = lambda m: [params(m[:2]), params(m[2]), params(m[3:])]
    learner = Learner(loaders(range(2)), model, loss_func=nn.MSELoss(), opt_func=Adam, splitter=splitter, wd_bn_bias=False, train_bn=True)
    learner.freeze()
    out, rates, momenta = {}, [], []
    for t in range(50):
        if t == 15:
            learner.unfreeze()
        rates.append([rate * (1 + t % 10) / 10 for rate in (1e-3, 1e-2, 3e-2)])
        momenta.append(.95 - .1 * (t % 11) / 10)
        learner.opt.set_hypers(lr=rates[-1], mom=momenta[-1])
        for i, (name, parameter) in enumerate(model.named_parameters()):
            is_without = not parameter.requires_grad or (t >= 15 and (t + i) % 7 == 0)
            parameter.grad = None if is_without else named(f"{name}.gradient.{t}", parameter.shape, tens=True).to(dtype)
        learner.opt.step()
        if t + 1 in (1, 15, 16, 30, 50):
            out |= {f"after{t + 1}.{name}": ours(parameter.data) for name, parameter in model.named_parameters()}
    for name, parameter in model.named_parameters():
        state = learner.opt.state[parameter]
        out |= {f"m.{name}": ours(state["grad_avg"]), f"v.{name}": ours(state["sqr_avg"]), f"steps.{name}": torch.tensor(state["step"])}
    return out | {"rates": torch.tensor(rates, dtype=torch.float64), "momenta": torch.tensor(momenta, dtype=torch.float64)}


class Scales(Callback):
    order = 20  # after MixedPrecision

    def before_fit(self):
        self.begin, self.scales, self.streaks, self.skipped = self.learn.scaler.get_scale(), [], [], []

    def after_step(self):
        if self.learn.mixed_precision.skipped:
            self.skipped.append(self.train_iter)
        self.scales.append(self.learn.scaler.get_scale())
        self.streaks.append(self.learn.scaler._get_growth_tracker())


def runs(values, rises=False):
    """[first value, how many] of values that stay equal, or rise by one."""
    out = []
    for value in values:
        if out and value == out[-1][0] + (out[-1][1] if rises else 0):
            out[-1][1] += 1
        else:
            out.append([value, 1])
    return out


def scaler_case(interval, fits):
    scales = Scales()
    loss = lambda prediction, target: 1e-4 * (prediction - target).square().mean()  # small, so that only the planted values overflow
    learner = Learner(loaders([1.]), nn.Linear(1, 1), loss_func=loss, lr=1e-4, cbs=[scales, NoValidation()])
    learner.to_fp16(**({} if interval == 2000 else {"growth_interval": interval}))
    out = []
    for steps, overflows in fits:
        learner.dls = loaders([torch.inf if t in overflows else 1. for t in range(steps)])
        with learner.no_bar(), learner.no_logging():
            learner.fit(1)
        assert len(scales.scales) == steps and scales.skipped == overflows
        out.append({"steps": steps, "skipped": scales.skipped, "begin": scales.begin, "scales": runs(scales.scales),
                    "streaks": runs(scales.streaks, rises=True)})
    return {"interval": interval, "fits": out}


def scalers():
    fp16.GradScaler = lambda device, **kwargs: torch.amp.GradScaler("cpu", **kwargs)  # on "cuda" it would do nothing here
    fp16.autocast = lambda device, **kwargs: torch.autocast("cpu", **kwargs)
    short = [(60, [0, 1, 7, 13, 20, 21, 22, 40, 51, 58]), (20, [3])]
    return [scaler_case(5, short), scaler_case(1, [(12, [4])]), scaler_case(2000, [(2110, [30, 31, 50]), (30, [])])]


def main():
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "training"
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    tensors, cases = schedules()
    write_safetensors(folder / "schedule.safetensors", {name: x.numpy() for name, x in tensors.items()}, {"made_with": MADE_WITH} | cases)
    truth, single = adam(), adam(torch.float32)
    distance = max(((single[name] - x).norm() / x.norm()).item() for name, x in truth.items() if x.is_floating_point() and x.any())
    write_safetensors(folder / "adam.safetensors", {name: x.numpy() for name, x in truth.items()},
                      {"made_with": MADE_WITH, "f32": f"{distance:.1e}"})
    (folder / "scaler.json").write_text(json.dumps({"made_with": MADE_WITH, "cases": scalers()}) + "\n")


if __name__ == "__main__":
    main()
