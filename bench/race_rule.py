# SPDX-License-Identifier: MIT
"""The inputs of all contenders in a race: a ResNet18 with fastai's head, without dropout, whose weights, pictures and labels follow from
their names and places alone, so that C++, LibTorch and PyTorch start from the same bits. race_rule.h is the same in C++.

  value(name, i) = (murmur3's last mixing of (0x9E3779B9 i + FNV-1a(name)) mod 2^32, its upper 24 bits) 2^-23 - 1, in [-1,1)

  weights of two or more dimensions    value sqrt(6 / fan_in), i the place in PyTorch's layout
  norms' weights, biases               1, 0
  pictures                             1.7 value("pictures", i), i the place in (N,H,W,C)
  labels                               i mod 6
"""
import math

import torch
from torch import nn

MASK = 0xFFFFFFFF


def stream_of(name):
    hashed = 0x811C9DC5
    for byte in name.encode():
        hashed = (hashed ^ byte) * 0x01000193 & MASK
    return hashed


def values(name, count, factor, device="cpu"):
    x = torch.arange(count, dtype=torch.int64, device=device) * 0x9E3779B9 + stream_of(name) & MASK
    x = (x ^ x >> 16) * 0x85EBCA6B & MASK
    x = (x ^ x >> 13) * 0xC2B2AE35 & MASK
    x = x ^ x >> 16
    return (((x >> 8).double() * 2.0**-23 - 1) * factor).float()


def fill(model):
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1:
                fan_in = parameter.numel() // parameter.shape[0]
                parameter.copy_(values(name, parameter.numel(), math.sqrt(6 / fan_in)).view(parameter.shape))
            else:
                parameter.fill_(1.0 if name.endswith("weight") else 0.0)
    return model


def pictures(n, size, device):
    """(N,3,H,W), channels_last."""
    return values("pictures", n * size * size * 3, 1.7, device).view(n, size, size, 3).permute(0, 3, 1, 2)


def labels(n, device):
    return torch.arange(n, device=device) % 6


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs)
        self.conv2, self.bn2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = None
        if inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(y + (self.downsample(x) if self.downsample else x))


class ConcatPool(nn.Module):
    def forward(self, x):
        return torch.cat([nn.functional.adaptive_max_pool2d(x, 1), nn.functional.adaptive_avg_pool2d(x, 1)], 1)


class ResNet18(nn.Sequential):
    """Children with the names of torchvision and fastai."""

    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
        self.relu, self.maxpool = nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)
        inputs = 64
        for i, outputs in enumerate((64, 128, 256, 512)):
            setattr(self, f"layer{i + 1}", nn.Sequential(Block(inputs, outputs, 1 if i == 0 else 2), Block(outputs, outputs, 1)))
            inputs = outputs
        nothing = nn.Identity  # where fastai's head has a dropout
        self.head = nn.Sequential(ConcatPool(), nn.Flatten(), nn.BatchNorm1d(1024), nothing(), nn.Linear(1024, 512, bias=False),
                                  nn.ReLU(inplace=True), nn.BatchNorm1d(512), nothing(), nn.Linear(512, 6, bias=False))
