#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""PyTorch in tools/gpu-check's races: answers questions from stdin on stdout, one line each.

  python3 bench/torch_race.py eager|compile|reduce-overhead [--device cuda]

  about                                        > {"version": ..., "device": ...}
  ceilings                                     > {"copy_bytes_per_s": ..., "half_flop_per_s": ...}
  prepare train|infer BATCH SIZE PRECISION     > {"seconds": ...}
  race train|infer BATCH SIZE PRECISION SECONDS EACH
                                               > {"times_ms": [...], "losses": [...]}

`prepare` builds and compiles. A time is the mean of EACH steps between two waits for the device; `losses` are those of the first steps of
this network since its start (in inference that of the one batch). Training: forward, cross entropy, backward, AdamW fused; fp16 is autocast
with a GradScaler, bf16 only autocast. Inference: the network in halves, inference_mode. channels_last and cudnn.benchmark always.
"""
import argparse
import json
import sys
import time

import torch
import torch.nn.functional as F

from race_rule import ResNet18, fill, labels, pictures

LOSSES = 5
HALVES = {"fp16": torch.float16, "bf16": torch.bfloat16}


class Race:
    def __init__(self, way, device, kind, batch, size, precision):
        self.device, self.half = device, HALVES.get(precision)
        model = fill(ResNet18()).to(device).to(memory_format=torch.channels_last)
        self.x, self.targets = pictures(batch, size, device).to(self.half or torch.float32), labels(batch, device)
        self.wait = torch.cuda.synchronize if device == "cuda" else lambda: None
        compiled = {"eager": lambda m: m, "compile": torch.compile, "reduce-overhead": lambda m: torch.compile(m, mode="reduce-overhead")}[way]
        if kind == "train":
            self.model, self.step = compiled(model.train()), self.train
            matrices, vectors = ([p for p in model.parameters() if (p.dim() > 1) == wanted] for wanted in (True, False))
            self.optimizer = torch.optim.AdamW([{"params": matrices, "weight_decay": .01}, {"params": vectors, "weight_decay": 0.}],
                                               lr=1e-4, eps=1e-5, betas=(.9, .99), fused=True)
            self.scaler = torch.amp.GradScaler(device, init_scale=64.0, enabled=precision == "fp16")
        else:
            self.model, self.step = compiled(model.eval().to(self.half or torch.float32)), self.infer
        first = [self.step() for _ in range(LOSSES if kind == "train" else 1)]
        self.losses = [loss.item() for loss in first]
        for _ in range(3):
            self.step()
        self.wait()

    def train(self):
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(self.device, self.half, enabled=self.half is not None):
            loss = F.cross_entropy(self.model(self.x), self.targets)
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return loss.detach().clone()

    def infer(self):
        with torch.inference_mode():
            logits = self.model(self.x)
            return F.cross_entropy(logits.float(), self.targets) if not hasattr(self, "losses") else logits

    def run(self, seconds, each):
        for _ in range(2 * each):
            self.step()
        self.wait()
        times, end = [], time.perf_counter() + seconds
        while time.perf_counter() < end or len(times) < 3:
            start = time.perf_counter()
            for _ in range(each):
                self.step()
            self.wait()
            times.append(round(1e3 * (time.perf_counter() - start) / each, 5))
        return {"times_ms": times, "losses": self.losses}


def best_seconds(run, wait, times):
    run()
    wait()
    best = float("inf")
    for _ in range(times):
        start = time.perf_counter()
        run()
        wait()
        best = min(best, time.perf_counter() - start)
    return best


def ceilings(device):
    gpu = device == "cuda"
    wait, n, side = (torch.cuda.synchronize, 1 << 30, 8192) if gpu else (lambda: None, 1 << 24, 256)
    source, target = (torch.zeros(n, dtype=torch.uint8, device=device) for _ in range(2))
    copy = best_seconds(lambda: target.copy_(source), wait, 20)
    a = torch.randn(side, side, device=device).to(torch.float16 if gpu else torch.float32)
    product = best_seconds(lambda: a @ a, wait, 20)
    return {"copy_bytes_per_s": 2 * n / copy, "half_flop_per_s": 2 * side**3 / product}


def main():
    parser = argparse.ArgumentParser(description="PyTorch in the races.")
    parser.add_argument("way", choices=["eager", "compile", "reduce-overhead"])
    parser.add_argument("--device", default="cuda")
    options = parser.parse_args()
    torch.backends.cudnn.benchmark = True
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    if options.device == "cpu":
        torch.set_num_threads(1)
    races = {}

    def race(kind, batch, size, precision):
        key = kind, batch, size, precision
        if key not in races:
            races[key] = Race(options.way, options.device, kind, int(batch), int(size), precision)
        return races[key]

    def answer(what, *words):
        if what == "about":
            return {"version": f"PyTorch {torch.__version__}",
                    "device": torch.cuda.get_device_name() if options.device == "cuda" else "cpu"}
        if what == "ceilings":
            return ceilings(options.device)
        start = time.perf_counter()
        if what == "prepare":
            race(*words)
            return {"seconds": time.perf_counter() - start}
        if what == "race":
            return race(*words[:4]).run(float(words[4]), int(words[5]))
        raise ValueError(f"'{what}' is not understood")

    for line in sys.stdin:
        try:
            result = answer(*line.split())
        except Exception as error:  # from PyTorch, a compiler, a driver: the next question may succeed
            result = {"error": f"{type(error).__name__}: {error}"[:600]}
        print(f"> {json.dumps(result)}", flush=True)


if __name__ == "__main__":
    main()
