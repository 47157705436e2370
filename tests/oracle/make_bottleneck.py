#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes tests/oracle/nn/bottleneck.safetensors with torchvision in float64: python tests/oracle/make_bottleneck.py [FOLDER]

ResNet50, 101 and 152 with torchvision's head for 6 classes, on the first pictures of make_resnet.py (40x36), whose formulas give every parameter
and buffer from its name (no shift; the weight of a bn3 is like that of a bn2). All F64:

  <arch>.eval.logits (1,6)                                  of the first picture
  <arch>.eval.cam.layer4 (2,2), <arch>.eval.cam.layer3 (3,3)   Grad-CAM of class 1 there: sum over c of A_c mean_hw(d logit / d A_c), no ReLU
  resnet50.train.logits (4,6), resnet50.train.loss ()       cross entropy, mean, targets 0, 1, 2, 3; of four pictures
  resnet50.train.norm.<tensor> (), resnet50.train.projections.<tensor> (8)
                                                            each parameter's gradient and each running statistic after the step

Projections are oracle_file.projections in Mirilla's layout. Needs torch 2.11 and torchvision 0.26.
"""
import sys
from pathlib import Path

import torch
import torch.nn.functional as F
import torchvision
from make_resnet import facts, pictures, value_of
from oracle_file import write_safetensors

CLASS = 1


def network_of(arch):
    network = getattr(torchvision.models, arch)(weights=None, num_classes=6).double()
    state = network.state_dict()
    network.load_state_dict({name: value_of(name, x.shape) if x.is_floating_point() else x for name, x in state.items()})
    for module in network.modules():
        if isinstance(module, torch.nn.ReLU):
            module.inplace = False
    return network


def evaluated(arch, network, x):
    network.eval()
    kept = {}
    for name in ("layer3", "layer4"):
        network.get_submodule(name).register_forward_hook(lambda module, inputs, output, name=name: kept.update({name: output}))
    logits = network(x)
    out = {f"{arch}.eval.logits": logits.detach()}
    gradients = torch.autograd.grad(logits[0, CLASS], [kept["layer3"], kept["layer4"]])
    for name, gradient in zip(("layer3", "layer4"), gradients):
        out[f"{arch}.eval.cam.{name}"] = (gradient.mean((2, 3), keepdim=True) * kept[name].detach()).sum(1)[0]
    return out


def trained(arch, network, x):
    network.train()
    logits = network(x)
    loss = F.cross_entropy(logits, torch.arange(len(x)))
    loss.backward()
    tensors = {name: parameter.grad for name, parameter in network.named_parameters()}
    tensors |= {name: buffer for name, buffer in network.named_buffers() if buffer.is_floating_point()}
    return {f"{arch}.{name}": x for name, x in facts("train", logits, loss, tensors).items()}


def main(folder):
    torch.set_num_threads(1)  # so that sums have one order
    out, x = {}, pictures()
    for arch in ("resnet50", "resnet101", "resnet152"):
        out |= evaluated(arch, network_of(arch), x[:1])
        if arch == "resnet50":
            out |= trained(arch, network_of(arch), x[:4])
    made_with = f"torch {torch.__version__.split('+')[0]}, torchvision {torchvision.__version__.split('+')[0]}"
    write_safetensors(folder / "bottleneck.safetensors", {name: x.numpy() for name, x in out.items()}, {"made_with": made_with})


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent / "nn"))
