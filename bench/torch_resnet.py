#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""PyTorch's side of bench/compare: ResNet18 with fastai's head, f32, channels_last.

  python bench/torch_resnet.py [--threads 2] [--seconds 6] [--compile]

One JSON document on stdout. Times are medians in milliseconds over repeats of about --seconds each, after two to warm up. Each figure is
PyTorch's best variant; the variants tried are listed under "ways".

  train_32_128_ms   forward, cross entropy, backward, Adam step, batch 32 at 128 px, every parameter trained; Adam foreach or fused
  infer_32_128_ms   forward, evaluation mode, inference_mode; eager, or frozen and traced with torch.jit.optimize_for_inference
  infer_1_224_ms    the same for one picture at 224 px

--compile also tries torch.compile, which needs a C++ compiler and a few minutes.
"""
import argparse
import json
import statistics
import time

import torch
import torch.nn.functional as F
import torchvision
from torch import nn


class ConcatPool(nn.Module):
    def forward(self, x):
        return torch.cat([F.adaptive_max_pool2d(x, 1), F.adaptive_avg_pool2d(x, 1)], 1)


def network():
    body = torchvision.models.resnet18(weights=None)
    head = nn.Sequential(ConcatPool(), nn.Flatten(), nn.BatchNorm1d(1024), nn.Dropout(.25), nn.Linear(1024, 512, bias=False),
                         nn.ReLU(inplace=True), nn.BatchNorm1d(512), nn.Dropout(.5), nn.Linear(512, 6, bias=False))
    return nn.Sequential(*list(body.children())[:-2], head).to(memory_format=torch.channels_last)


def pictures(n, size):
    return torch.randn(n, 3, size, size).contiguous(memory_format=torch.channels_last)


def median_ms(run, seconds):
    for _ in range(2):
        run()
    times, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 5:
        start = time.perf_counter()
        run()
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times)


def train_ways(n, size, options):
    x, targets = pictures(n, size), torch.randint(6, (n,))

    def way(compiled, **adam):
        model = network().train()
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=.01, eps=1e-5, betas=(.9, .99), **adam)
        forward = torch.compile(model) if compiled else model

        def step():
            optimizer.zero_grad(set_to_none=True)
            F.cross_entropy(forward(x), targets).backward()
            optimizer.step()

        return median_ms(step, options.seconds)

    ways = {"eager, foreach": way(False, foreach=True), "eager, fused": way(False, fused=True)}
    return ways | ({"compiled, fused": way(True, fused=True)} if options.compile else {})


@torch.inference_mode()
def inference_ways(n, size, options):
    x, model = pictures(n, size), network().eval()
    ways = {"eager": median_ms(lambda: model(x), options.seconds)}
    try:
        traced = torch.jit.optimize_for_inference(torch.jit.freeze(torch.jit.trace(model, x)))
        ways["jit"] = median_ms(lambda: traced(x), options.seconds)
    except RuntimeError as error:
        ways["jit"] = f"failed: {str(error).splitlines()[0]}"
    if options.compile:
        compiled = torch.compile(model)
        ways["compiled"] = median_ms(lambda: compiled(x), options.seconds)
    return ways


def main():
    parser = argparse.ArgumentParser(description="Times PyTorch's ResNet18 on the host.")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--compile", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    ways = {"train_32_128_ms": train_ways(32, 128, options), "infer_32_128_ms": inference_ways(32, 128, options),
            "infer_1_224_ms": inference_ways(1, 224, options)}
    document = {name: min(time for time in of.values() if isinstance(time, float)) for name, of in ways.items()}
    print(json.dumps(document | {"ways": ways, "threads": options.threads, "torch": torch.__version__}, indent=2))


if __name__ == "__main__":
    main()
