#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes tests/oracle/grad_cam/maps.safetensors with fastai's hooks and pytorch-grad-cam: python tests/oracle/make_grad_cam.py [FOLDER]

Needs torch 2.11, torchvision 0.26, fastai 2.8.12 and grad-cam 1.5.7. The network is fastai's, nn.Sequential(body, head) of
create_vision_model(resnet18, 6); its values come from Mirilla's names of the tensors by the formulas of make_resnet.py. So do the pictures,
"grad_cam.<name>", 2 (2 u - 1) in (H,W,C) order: "a", "b" and "c" of 128x128 and "wide" of 96x160 (H, W).

As in the course, in evaluation mode and from the raw logit: two hook_output, one of them with grad=True, around model[0] (layer4) and
model[0][-2] (layer3), then (mean over (h,w) of the gradient * activation) summed over the channels. No ReLU. In the file, for the classes
0, 3 and 5:

  f32.<picture>.<class>.<layer>     F32 (h,w), the network in f32, each picture
  f64.<picture>.<class>.<layer>     F64 (h,w), the network in double, pictures "a" and "wide"
  paper.<picture>.<class>.<layer>   F32 (h,w), pytorch-grad-cam's GradCAM in f32: with ReLU, and scaled to 0..1 by that package; its
                                    last step, the enlargement to the picture, is left out
  f32.<picture>.logits              F32 (6)
"""
import sys
import unittest.mock
from importlib.metadata import version
from pathlib import Path

import torch
from fastai.callback.hook import hook_output
from fastai.vision.learner import create_vision_model
from make_resnet import signed, value_of
from oracle_file import write_safetensors
from torchvision.models import resnet18

# For the enlargement that is left out, grad-cam imports OpenCV, whose usual wheel needs libraries for a display.
sys.modules["cv2"] = unittest.mock.MagicMock()
from pytorch_grad_cam import GradCAM  # noqa: E402
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget  # noqa: E402

PICTURES = {"a": (128, 128), "b": (128, 128), "c": (128, 128), "wide": (96, 160)}
CLASSES = [0, 3, 5]
BODY = ["conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4"]


def our_name(name):
    """Mirilla's name for a tensor of fastai's model: "0.4.0.conv1.weight" is "layer1.0.conv1.weight", "1.8.weight" is "head.8.weight"."""
    part, child, *rest = name.split(".")
    return ".".join([BODY[int(child)], *rest] if part == "0" else ["head", child, *rest])


def fastai_network(dtype):
    network = create_vision_model(resnet18, 6, weights=None, pretrained=False)
    state = network.state_dict()
    network.load_state_dict({name: value_of(our_name(name), x.shape).float() if x.is_floating_point() else x for name, x in state.items()})
    return network.to(dtype).eval()


def picture(name):
    height, width = PICTURES[name]
    values = (2 * signed("grad_cam." + name, height * width * 3)).float()
    return values.view(1, height, width, 3).permute(0, 3, 1, 2).contiguous()


def layers_of(network):
    return {"layer4": network[0], "layer3": network[0][-2]}


def course_map(network, x, cls, layer):
    """As in the course's notebook."""
    with hook_output(layer, grad=True) as hookg:
        with hook_output(layer) as hook:
            output = network.eval()(x)
            act = hook.stored
        output[0, cls].backward()
        grad = hookg.stored
    w = grad[0][0].mean(dim=[1, 2], keepdim=True)
    return (w * act[0]).sum(0), output[0].detach()


class UnenlargedGradCAM(GradCAM):
    def get_target_width_height(self, input_tensor):
        return None


def paper_map(network, x, cls, layer):
    with UnenlargedGradCAM(model=network, target_layers=[layer]) as cam:
        return torch.from_numpy(cam(input_tensor=x, targets=[ClassifierOutputTarget(cls)])[0])


def maps():
    out = {}
    single, double = fastai_network(torch.float32), fastai_network(torch.float64)
    for name in PICTURES:
        x = picture(name)
        for cls in CLASSES:
            for layer in "layer4", "layer3":
                key = f"{name}.{cls}.{layer}"
                out[f"f32.{key}"], out[f"f32.{name}.logits"] = course_map(single, x, cls, layers_of(single)[layer])
                out[f"paper.{key}"] = paper_map(single, x, cls, layers_of(single)[layer])
                if name in ("a", "wide"):
                    out[f"f64.{key}"], _ = course_map(double, x.double(), cls, layers_of(double)[layer])
    return out


def main():
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "grad_cam"
    torch.set_num_threads(1)
    versions = {package: version(package).split("+")[0] for package in ("torch", "torchvision", "fastai", "grad-cam")}
    write_safetensors(folder / "maps.safetensors", {name: x.contiguous().numpy() for name, x in maps().items()},
                      {"made_with": ", ".join(f"{package} {v}" for package, v in versions.items())})


if __name__ == "__main__":
    main()
