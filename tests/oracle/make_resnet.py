#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes tests/oracle/nn/resnet18.safetensors with torchvision in float64: python tests/oracle/make_resnet.py [FOLDER]

ResNet18 with fastai's head for 6 classes, on 4 pictures of 64x64. Needs torch 2.11 and torchvision 0.26.

Module names are torchvision's (conv1, bn1, layer1.0.conv1, ...) and head.2, head.4, head.6, head.8 for BatchNorm1d(1024), Linear(1024,512),
BatchNorm1d(512) and Linear(512,6), both without bias. Dropout is left out (p = 0). No value of the network is stored; each tensor comes
from its name: with u_i = to_unit(RandomKey{.seed = FNV-1a-64 of the name, .purpose = kTest, .step = 0, .item = 0}.bits(i)) for element i of the
tensor in Mirilla's layout (convolutions KRSC, linear layers (O,I)), computed in double and rounded to f32,

  convolution and linear weights   a (2 u - 1), a = sqrt(3 / fan_in), fan_in = R S C or I
  batch norm: weight               1 + 0.1 (2 u - 1)
              bias, running_mean   0.1 (2 u - 1)
              running_var          1 + 0.5 u
  the picture, named "input"       2 (2 u - 1), in (N,H,W,C) order; targets are 0, 3, 5, 2

In the file, all F64, for the training mode (train.) and the evaluation mode (eval.), each from these same values:

  <mode>.logits (4,6), <mode>.loss ()                      cross entropy, mean
  <mode>.norm.layer1 .. layer4 ()                          L2 norms of what the layers put out
  train.gradient_norm.<parameter> ()                       L2 norm of d loss / d parameter
  train.gradient_first.<parameter> (8)                     its first 8 elements, in Mirilla's layout
  train.buffer_norm.<buffer> (), train.buffer_first.<buffer> (8)   running statistics after the training step
  eval.cam.layer4 (4,2,2), eval.cam.layer3 (4,4,4)         Grad-CAM of the target: sum over c of A_c mean_hw(d logit / d A_c), no ReLU
"""
import sys
from pathlib import Path

import torch
import torch.nn.functional as F
import torchvision
from oracle_file import units, write_safetensors
from torch import nn

TARGETS = [0, 3, 5, 2]
LAYERS = ["layer1", "layer2", "layer3", "layer4"]


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

    def forward(self, x):
        """The logits and what each layer put out."""
        x, outputs = self.maxpool(self.relu(self.bn1(self.conv1(x)))), {}
        for name in LAYERS:
            x = outputs[name] = getattr(self, name)(x)
        return self.head(x), outputs


def ours(x):
    """In Mirilla's layout: (K,C,R,S) as (K,R,S,C)."""
    return x.permute(0, 2, 3, 1).contiguous() if x.dim() == 4 else x


def signed(name, n):
    return 2 * torch.from_numpy(units(name, n)) - 1


def value_of(name, shape):
    """A parameter or buffer of the given PyTorch shape, in float64."""
    n = shape.numel()
    if len(shape) > 1:
        fan_in = n // shape[0]
        values = (3 / fan_in) ** .5 * signed(name, n)
    elif name.endswith("running_var"):
        values = 1 + .5 * torch.from_numpy(units(name, n))
    else:
        values = .1 * signed(name, n) + (1 if name.endswith("weight") else 0)
    values = values.float().double()
    if len(shape) == 4:
        k, c, r, s = shape
        return values.view(k, r, s, c).permute(0, 3, 1, 2).contiguous()
    return values.view(shape)


def fresh_network():
    network = Network().double()
    state = network.state_dict()
    network.load_state_dict({name: value_of(name, x.shape) if x.is_floating_point() else x for name, x in state.items()})
    return network


def facts(mode, logits, loss, outputs):
    norms = {f"{mode}.norm.{name}": x.detach().norm() for name, x in outputs.items()}
    return {f"{mode}.logits": logits.detach(), f"{mode}.loss": loss.detach()} | norms


def train(x, targets):
    network = fresh_network().train()
    logits, outputs = network(x)
    loss = F.cross_entropy(logits, targets)
    loss.backward()
    out = facts("train", logits, loss, outputs)
    for name, parameter in network.named_parameters():
        out |= {f"train.gradient_norm.{name}": parameter.grad.norm(), f"train.gradient_first.{name}": ours(parameter.grad).flatten()[:8]}
    for name, buffer in network.named_buffers():
        if buffer.is_floating_point():
            out |= {f"train.buffer_norm.{name}": buffer.norm(), f"train.buffer_first.{name}": buffer[:8]}
    return out


def evaluate(x, targets):
    network = fresh_network().eval()
    logits, outputs = network(x)
    out = facts("eval", logits, F.cross_entropy(logits, targets), outputs)
    chosen = logits[torch.arange(len(targets)), targets].sum()  # pictures do not mix in evaluation: one backward serves all
    for name in "layer4", "layer3":
        gradient, = torch.autograd.grad(chosen, outputs[name], retain_graph=True)
        out[f"eval.cam.{name}"] = (gradient.mean((2, 3), keepdim=True) * outputs[name].detach()).sum(1)
    return out


def main():
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "nn"
    torch.set_num_threads(1)
    n = len(TARGETS)
    x = (2 * signed("input", n * 64 * 64 * 3)).float().double().view(n, 64, 64, 3).permute(0, 3, 1, 2).contiguous()
    tensors = train(x, torch.tensor(TARGETS)) | evaluate(x, torch.tensor(TARGETS))
    made_with = f"torch {torch.__version__.split('+')[0]}, torchvision {torchvision.__version__.split('+')[0]}"
    arrays = {name: x.contiguous().numpy() for name, x in tensors.items()}
    write_safetensors(folder / "resnet18.safetensors", arrays, {"made_with": made_with})


if __name__ == "__main__":
    main()
