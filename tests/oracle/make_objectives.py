#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes tests/oracle/objectives/{cross_entropy,sgd}.safetensors with PyTorch in float64: python tests/oracle/make_objectives.py [FOLDER]

Needs torch 2.11 and numpy. Tensors are named case<i>.<name>, and the metadata has under case<i> the case's attributes as JSON text. What goes
in holds only values that f32 has exactly.

  cross_entropy   torch.nn.CrossEntropyLoss: logits (N,C), targets (N, I64), [weights (C)] -> losses (N, reduction none), loss (mean), dlogits
                  of the mean; label_smoothing
  sgd             torch.optim.SGD: p (n), gradients (steps,n), learning_rates (steps) -> parameters (steps,n) after each step, and its
                  momentum buffer (n) at the end; momentum, weight_decay, nesterov
"""
import json
import sys
from pathlib import Path

import numpy as np
import torch
from oracle_file import write_safetensors

generator = torch.Generator()


def draw(*shape, scale=1.0):
    """Normal numbers that f32 has exactly."""
    return (torch.randn(*shape, generator=generator) * scale).double()


def cross_entropy_cases():
    weights = draw(6).abs() + 0.25
    lopsided = torch.tensor([0.0, 4.0, 1.0], dtype=torch.float64)
    for n, classes, smoothing, weight, scale in [(5, 6, 0.0, None, 1), (5, 6, 0.1, None, 1), (9, 6, 0.0, weights, 2), (9, 6, 0.25, weights, 2),
                                                 (16, 3, 0.1, lopsided, 1), (4, 33, 1.0, None, 3), (7, 6, 0.1, weights, 20)]:
        logits = draw(n, classes, scale=scale).requires_grad_()
        targets = torch.randint(classes, (n,), generator=generator)
        kwargs = {"weight": weight, "label_smoothing": smoothing}
        loss = torch.nn.CrossEntropyLoss(**kwargs)(logits, targets)
        loss.backward()
        tensors = {"logits": logits.detach(), "targets": targets, "loss": loss.detach(), "dlogits": logits.grad,
                   "losses": torch.nn.CrossEntropyLoss(reduction="none", **kwargs)(logits, targets).detach()}
        yield {"label_smoothing": smoothing}, tensors | ({} if weight is None else {"weights": weight})


def sgd_cases():
    steps, n = 12, 7
    for momentum, decay, nesterov in [(0.0, 0.0, False), (0.9, 0.0, False), (0.9, 0.01, False), (0.85, 0.01, True)]:
        p = torch.nn.Parameter(draw(n))
        first, gradients, rates = p.detach().clone(), draw(steps, n), (draw(steps).abs() * 0.1).float().double()
        optimizer = torch.optim.SGD([p], lr=1.0, momentum=momentum, dampening=0, weight_decay=decay, nesterov=nesterov)
        parameters = []
        for step in range(steps):
            optimizer.param_groups[0]["lr"] = rates[step].item()
            p.grad = gradients[step].clone()
            optimizer.step()
            parameters.append(p.detach().clone())
        buffer = optimizer.state[p].get("momentum_buffer")
        yield ({"momentum": momentum, "weight_decay": decay, "nesterov": nesterov},
               {"p": first, "gradients": gradients, "learning_rates": rates, "parameters": torch.stack(parameters)} |
               ({} if buffer is None else {"buffer": buffer}))


def main():
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "objectives"
    for seed, (name, cases) in enumerate({"cross_entropy": cross_entropy_cases, "sgd": sgd_cases}.items()):
        generator.manual_seed(2000 + seed)
        tensors, metadata = {}, {"torch": torch.__version__.split("+")[0]}
        for i, (attributes, values) in enumerate(cases()):
            metadata[f"case{i}"] = json.dumps(attributes)
            tensors |= {f"case{i}.{key}": np.asarray(value) for key, value in values.items()}
        write_safetensors(folder / f"{name}.safetensors", tensors, metadata)


if __name__ == "__main__":
    main()
