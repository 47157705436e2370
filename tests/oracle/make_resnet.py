#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes tests/oracle/nn/resnet18.safetensors with torchvision in float64: python tests/oracle/make_resnet.py [FOLDER]

ResNet18 with fastai's head for 6 classes, on 8 pictures of 40x36. Needs torch 2.11 and torchvision 0.26.

Module names are torchvision's (conv1, bn1, layer1.0.conv1, ...) and head.2, head.4, head.6, head.8 for BatchNorm1d(1024), Linear(1024,512),
BatchNorm1d(512) and Linear(512,6), both without bias. Dropout is left out (p = 0). No value of the network is stored; each tensor is
computed from its name: with u_i = to_unit(RandomKey{.seed = FNV-1a-64 of the name, .purpose = kTest, .step = 0, .item = 0}.bits(i)) for
element i of the tensor in Mirilla's layout (convolutions KRSC, linear layers (O,I)), computed in double and rounded to f32,

  convolution and linear weights   a (2 u - 1), a = sqrt(3 / fan_in), fan_in = R S C or I
  batch norm: weight               1 + 0.1 (2 u - 1); of a bn2 or bn3, 0.25 + 0.1 (2 u - 1), as in trained networks: a block adds little to
                                   its shortcut, and little of the rounding of its long sums
              bias, running_mean   0.1 (2 u - 1); a bias before a ReLU is 0.1 (2 u - 1) + shift, see below
              running_var          1 + 0.5 u
  the pictures, in (N,H,W,C) order 2 (2 u - 1) of "coarse", (8,2,2,3), at (n, y div 20, x div 20, c), plus half of 2 u - 1 of "fine.3",
                                   (8,40,36,3): pictures that differ, so that a batch norm over 8 samples has something to divide by;
                                   the target of picture n is n mod 6

The results of training would not be determined in f32 if a ReLU's input were closer to zero than f32's error, or two values of a max pool
to each other. So each batch norm before a ReLU has a shift, j / 1024 with |j| <= 256, that keeps all inputs of the ReLU as far from zero as
possible. `kinks` in the metadata says how far: the smallest distance of a ReLU's input from zero, or of a pool's largest value from its
second, in units of the largest error of PyTorch's f32 in that tensor. It must be at least 5 in training, and from layer4 on in evaluation.

In the file, all F64 except the shifts, for the training mode (train.) and the evaluation mode (eval.), each from these same values:

  shift.<bias> () F32
  <mode>.logits (8,6), <mode>.loss ()                      cross entropy, mean
  <mode>.norm.<tensor> (), <mode>.projections.<tensor> (8) of the outputs of layer1 .. layer4, and in training of each parameter's gradient
                                                           (under the parameter's name) and each running statistic after the step
  eval.cam.layer4 (8,2,2), eval.cam.layer3 (8,3,3)         Grad-CAM of the target: sum over c of A_c mean_hw(d logit / d A_c), no ReLU

A norm is L2. Projections are oracle_file.projections under the tensor's name, in Mirilla's layout: a result that is wrong by e anywhere has
projections that are wrong by about |e|, within a third.

And in the metadata, since they depend on the processor, the distances of PyTorch's own lower precisions from this in training, in
channels_last, the memory format of Mirilla:

  f32          {logits, gradients}: the distance of the logits, and that of the gradient which is furthest, of their norms
  f16, bf16    under torch.autocast("cpu"), for 4 batches whose pictures have the fine part "fine.3" .. "fine.6": {logits, statistics, gradients,
               head} of each batch, root mean squares over the tensors; head: the gradients after the last ReLU, of head.6 and head.8. In
               f16 the loss is multiplied by `scale`, the value at which a GradScaler that starts at 65536 settles
"""
import json
import math
import sys
from pathlib import Path

import torch
import torch.nn.functional as F
import torchvision
from oracle_file import projections, units, write_safetensors
from torch import nn

N, H, W, CELL = 8, 40, 36, 20
TARGETS = torch.arange(N) % 6
LAYERS = ["layer1", "layer2", "layer3", "layer4"]
KINKS = 5
FINE = [f"fine.{k}" for k in range(3, 7)]


class ConcatPool(nn.Module):
    def forward(self, x):
        return torch.cat([F.adaptive_max_pool2d(x, 1), F.adaptive_avg_pool2d(x, 1)], 1)


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        body = torchvision.models.resnet18(weights=None)
        for name in ["conv1", "bn1", "relu", "maxpool", *LAYERS]:
            self.add_module(name, getattr(body, name))
        self.head = nn.Sequential(ConcatPool(), nn.Flatten(), nn.BatchNorm1d(1024), nn.Dropout(0.), nn.Linear(1024, 512, bias=False),
                                  nn.ReLU(), nn.BatchNorm1d(512), nn.Dropout(0.), nn.Linear(512, 6, bias=False))
        for module in self.modules():
            if isinstance(module, nn.ReLU):
                module.inplace = False

    def forward(self, x):
        """The logits and the output of each layer."""
        x, outputs = self.maxpool(self.relu(self.bn1(self.conv1(x)))), {}
        for name in LAYERS:
            x = outputs[name] = getattr(self, name)(x)
        return self.head(x), outputs


def ours(x):
    """In Mirilla's layout: (N,C,H,W) as (N,H,W,C), weights too."""
    return x.permute(0, 2, 3, 1).contiguous() if x.dim() == 4 else x


def signed(name, n):
    return 2 * torch.from_numpy(units(name, n)) - 1


def value_of(name, shape, shift=0):
    """A parameter or buffer of the given PyTorch shape, in float64."""
    n = shape.numel()
    if len(shape) > 1:
        fan_in = n // shape[0]
        values = (3 / fan_in) ** .5 * signed(name, n)
    elif name.endswith("running_var"):
        values = 1 + .5 * torch.from_numpy(units(name, n))
    else:
        middle = .25 if name.endswith(("bn2.weight", "bn3.weight")) else 1 if name.endswith("weight") else shift
        values = .1 * signed(name, n) + middle
    values = values.float().double()
    if len(shape) == 4:
        k, c, r, s = shape
        return values.view(k, r, s, c).permute(0, 3, 1, 2).contiguous()
    return values.view(shape)


def named_state():
    state = Network().state_dict()
    return {name: value_of(name, x.shape) if x.is_floating_point() else x for name, x in state.items()}


def network_of(state, dtype=torch.float64):
    network = Network().to(dtype)
    network.load_state_dict(state)
    return network.to(memory_format=torch.channels_last) if dtype == torch.float32 else network


def pictures(name=FINE[0]):
    rows, columns = -(-H // CELL), -(-W // CELL)
    coarse = 2 * signed("coarse", N * rows * columns * 3).view(N, rows, columns, 3)
    coarse = coarse.repeat_interleave(CELL, 1).repeat_interleave(CELL, 2)[:, :H, :W]
    x = coarse + .5 * signed(name, N * H * W * 3).view(N, H, W, 3)
    return x.float().double().permute(0, 3, 1, 2).contiguous()


def relus(network):
    """(module, the batch norm before it) in the order in which they run; a block uses its relu twice."""
    out = [(network.relu, "bn1")]
    for name in LAYERS:
        for i, block in enumerate(getattr(network, name)):
            out += [(block.relu, f"{name}.{i}.bn1"), (block.relu, f"{name}.{i}.bn2")]
    return out


def shift_away(network, x):
    """Moves each bias before a ReLU, one after the other, to where no input of the ReLU is near zero."""
    order, shifts = iter([norm for _, norm in relus(network)]), {}
    candidates = torch.arange(-256, 257).double() / 1024

    def choose(module, inputs):
        z, norm = inputs[0], next(order)
        values = z.flatten().sort().values
        at = torch.searchsorted(values, -candidates).clamp(1, len(values) - 1)
        distance = torch.minimum((values[at] + candidates).abs(), (values[at - 1] + candidates).abs())
        shift = shifts[norm + ".bias"] = candidates[distance.argmax()].item()
        bias = network.get_submodule(norm).bias
        moved = value_of(norm + ".bias", bias.shape, shift)
        delta = (moved - bias.data).view(1, -1, 1, 1)
        bias.data.copy_(moved)
        return z + delta

    hooks = [module.register_forward_pre_hook(choose) for module in {module for module, _ in relus(network)}]
    with torch.no_grad():
        network(x)
    for hook in hooks:
        hook.remove()
    return shifts


def run(network, x, autocast=None, scale=1):
    """One forward and backward pass: logits, loss, the outputs of the layers, the inputs of each ReLU and max pool."""
    kinks = []
    for module in network.modules():
        if isinstance(module, (nn.ReLU, nn.MaxPool2d, ConcatPool)):
            module.register_forward_pre_hook(lambda module, inputs: kinks.append((type(module), inputs[0].detach().double())))
    with torch.autocast("cpu", autocast or torch.bfloat16, enabled=autocast is not None):
        logits, outputs = network(x)
        loss = F.cross_entropy(logits.to(x.dtype), TARGETS)
    (loss * scale).backward()
    for parameter in network.parameters():
        parameter.grad /= scale
    return logits, loss, outputs, kinks


def kink_distances(kind, z):
    """The distance of the values from the points where a gradient jumps."""
    if kind is nn.ReLU:
        return z.abs()
    if kind is nn.MaxPool2d:  # comes after a ReLU: equal zeros may be exchanged
        windows = F.unfold(F.pad(z, (1, 1, 1, 1)), 3, stride=2).view(len(z), z.shape[1], 9, -1)
        best = windows.topk(2, dim=2).values
        return (best[:, :, 0] - best[:, :, 1])[best[:, :, 0] > 0]
    best = z.flatten(2).topk(2, dim=2).values
    return (best[..., 0] - best[..., 1])[best[..., 0] > 0]


def smallest_kink(truth, rounded, first=0):
    return min((kink_distances(kind, z).min() / (z - other).abs().max()).item()
               for (kind, z), (_, other) in zip(truth[first:], rounded[first:]))


def named(network, logits, loss):
    """The results of a training step, each under its name."""
    out = {"logits": logits.detach(), "loss": loss.detach()}
    out |= {name: parameter.grad for name, parameter in network.named_parameters()}
    return out | {name: buffer for name, buffer in network.named_buffers() if buffer.is_floating_point()}


def facts(mode, logits, loss, tensors):
    out = {f"{mode}.logits": logits.detach(), f"{mode}.loss": loss.detach()}
    for name, x in tensors.items():
        x = ours(x.detach())
        out |= {f"{mode}.norm.{name}": x.norm(), f"{mode}.projections.{name}": torch.from_numpy(projections(name, x.numpy()))}
    return out


def lower_precision(state, x, truth, autocast=None, scale=1):
    """How far each tensor of a step in f32, or under autocast, is from the truth, relative to its norm; and the kinks met."""
    network = network_of(state, torch.float32).train()
    logits, loss, _, kinks = run(network, x.float().to(memory_format=torch.channels_last), autocast, scale)
    came = named(network, logits, loss)
    return {name: ((came[name].double() - wanted).norm() / wanted.norm()).item() for name, wanted in truth.items()}, kinks


def root_mean_square(values):
    return torch.tensor(list(values)).double().square().mean().sqrt().item()


def by_kind(distances):
    statistics = [x for name, x in distances.items() if "running" in name]
    gradients = {name: x for name, x in distances.items() if name.endswith(("weight", "bias"))}
    head = [x for name, x in gradients.items() if name.startswith(("head.6", "head.8"))]
    return {"logits": distances["logits"], "statistics": root_mean_square(statistics),
            "gradients": root_mean_square(gradients.values()), "head": root_mean_square(head)}


def halves(state):
    truths = []
    for name in FINE:
        network = network_of(state).train()
        logits, loss, _, _ = run(network, pictures(name))
        truths.append(named(network, logits, loss))
    out, scale = {}, 2 * 65536.
    while not out or not math.isfinite(sum(out["f16"]["gradients"])):
        scale /= 2
        for half, autocast in ("f16", torch.float16), ("bf16", torch.bfloat16):
            batches = [by_kind(lower_precision(state, pictures(name), truth, autocast, scale if half == "f16" else 1)[0])
                       for name, truth in zip(FINE, truths)]
            out[half] = {kind: [float(f"{batch[kind]:.4g}") for batch in batches] for kind in batches[0]}
    out["f16"]["scale"] = scale
    return out


def train(state, x):
    network = network_of(state).train()
    logits, loss, outputs, kinks = run(network, x)
    truth = named(network, logits, loss)
    out = facts("train", logits, loss, outputs | {name: x for name, x in truth.items() if name not in ("logits", "loss")})
    distances, others_kinks = lower_precision(state, x, truth)
    gradients = max(x for name, x in distances.items() if name.endswith(("weight", "bias")))
    return out, smallest_kink(kinks, others_kinks), {"logits": float(f"{distances['logits']:.2g}"), "gradients": float(f"{gradients:.2g}")}


def evaluate(state, x):
    network = network_of(state).eval()
    logits, loss, outputs, kinks = run(network, x)
    out = facts("eval", logits, loss, outputs)
    logits, outputs = network(x)
    chosen = logits[torch.arange(N), TARGETS].sum()  # pictures are independent in evaluation: one backward pass serves all
    for name in "layer4", "layer3":
        gradient, = torch.autograd.grad(chosen, outputs[name], retain_graph=True)
        out[f"eval.cam.{name}"] = (gradient.mean((2, 3), keepdim=True) * outputs[name].detach()).sum(1)
    other = network_of(state, torch.float32).eval()
    others_kinks = run(other, x.float().to(memory_format=torch.channels_last))[3]
    layer4 = 2 + 12  # the kinks before: a ReLU, a max pool, 4 ReLUs per layer
    return out, smallest_kink(kinks[:len(others_kinks)], others_kinks, layer4)


def main():
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "nn"
    torch.set_num_threads(1)
    state, x = named_state(), pictures()
    shifts = shift_away(network_of(state).train(), x)
    state |= {name: value_of(name, state[name].shape, shift) for name, shift in shifts.items()}
    (tensors, margin, single), (evaluated, evaluation_margin) = train(state, x), evaluate(state, x)
    tensors |= evaluated | {f"shift.{name}": torch.tensor(shift, dtype=torch.float32) for name, shift in shifts.items()}
    assert margin >= KINKS and evaluation_margin >= KINKS, (margin, evaluation_margin)
    made_with = f"torch {torch.__version__.split('+')[0]}, torchvision {torchvision.__version__.split('+')[0]}"
    about = {"kinks": {"train": round(margin, 1), "eval": round(evaluation_margin, 1)}, "f32": single} | halves(state)
    arrays = {name: x.contiguous().numpy() for name, x in tensors.items()}
    write_safetensors(folder / "resnet18.safetensors", arrays,
                      {"made_with": made_with} | {name: json.dumps(value) for name, value in about.items()})


if __name__ == "__main__":
    main()
