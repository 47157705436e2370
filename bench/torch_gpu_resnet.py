#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""PyTorch's side of tools/gpu-check's rate: ResNet18 with fastai's head, eager, channels_last, AdamW fused.

  python3 bench/torch_gpu_resnet.py [--batch 64] [--size 128] [--seconds 6]

One JSON document on stdout: training images a second in f32 (TF32 off, as our f32 is) and under autocast to bf16; the loss is read each
tenth step, as on our side.
"""
import argparse
import json
import time

import torch
import torch.nn.functional as F

from torch_resnet import network, pictures


def rate(options, precision):
    model = network().cuda().train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=.01, eps=1e-5, betas=(.9, .99), fused=True)
    x = pictures(options.batch, options.size)
    targets = torch.arange(options.batch) % 6

    def step():
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cuda", torch.bfloat16, enabled=precision == "bf16"):  # the batch comes from the host each time, as ours does
            loss = F.cross_entropy(model(x.cuda()), targets.cuda())
        loss.backward()
        optimizer.step()
        return loss

    for _ in range(10):
        step()
    torch.cuda.synchronize()
    start, done = time.perf_counter(), 0
    while time.perf_counter() - start < options.seconds:
        for _ in range(9):
            step()
        step().item()
        done += 10
    return done * options.batch / (time.perf_counter() - start)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--seconds", type=float, default=6)
    options = parser.parse_args()
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    rates = {precision: rate(options, precision) for precision in ("f32", "bf16")}
    print(json.dumps({"torch": torch.__version__, "batch": options.batch, "size": options.size, "images_per_s": rates}))


if __name__ == "__main__":
    main()
