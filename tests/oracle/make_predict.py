#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes tests/oracle/predict/expected.json with fastai's Learner: python tests/oracle/make_predict.py [FOLDER]

Needs torch 2.11, torchvision 0.26, fastai 2.8.12 and pillow.

A vision_learner of resnet18 for six classes with make_resnet.py's values from the tensors' names, in f32, except the last layer's, which
are from the name "predict.96", which gives the pictures four different labels; Resize(40), aug_transforms(size=32, min_scale=.75),
Normalize with ImageNet's numbers; on some pictures of tests/oracle/data. The file holds

  files, vocab, resize, size
  predict        for each file, the results of learn.predict: label, index, probabilities
  batch          for each file, the probabilities of learn.get_preds on all of them, in batches of 4
  passes         of each of the 4 passes of learn.tta on all files in batches of 4: crops, for each file the two numbers in [0,1) that
                 Resize drew; draws, for each file the draws of the batch transforms (data::PictureDraw); boxes, for each batch the crop of
                 RandomResizedCropGPU (left, top, width, height). All are given instead of random.
  tta            for each file: augmented and plain (beta=None), mixed (beta=.25), largest (use_max=True)
"""
import json
import sys
import warnings
from pathlib import Path

import fastai
import numpy as np
import PIL
import torch
import torchvision
from fastai.vision import augment as fa
from fastai.vision.all import CategoryBlock, DataBlock, ImageBlock, IndexSplitter, Normalize, imagenet_stats, resnet18, vision_learner
from make_resnet import value_of

FILES = ["rgb.jpg", "progressive.jpg", "cmyk.jpg", "tall.ppm", "wide.ppm", "square.ppm"]
VOCAB = ["buildings", "forest", "glacier", "mountain", "sea", "street"]
RESIZE, SIZE, BATCH, PASSES = 40, 32, 4, 4
LAST = "predict.96"
DATA = Path(__file__).parent / "data"


def given(random):
    """The draws of all passes."""
    def number(low, high):
        return round(float(random.uniform(low, high)), 4)

    def draw():
        return dict(flip=int(random.integers(2)), degrees=number(-10, 10), zoom=number(1, 1.1), zoom_x=number(0, 1), zoom_y=number(0, 1),
                    warp_x=number(-.2, .2), warp_y=number(-.2, .2), brightness=number(.4, .6), contrast=number(.8, 1.25))

    def box():
        side = int(random.integers(35, RESIZE + 1))
        return [int(v) for v in random.integers(0, RESIZE - side + 1, 2)] + [side, side]

    return [dict(crops=[[number(0, 1), number(0, 1)] for _ in FILES], draws=[draw() for _ in FILES],
                 boxes=[box() for _ in range(0, len(FILES), BATCH)]) for _ in range(PASSES)]


class Draws:
    """Gives a batch transform its numbers, one batch per call."""

    def __init__(self, passes, key):
        self.batches = [[draw[key] for draw in p["draws"][b:b + BATCH]] for p in passes for b in range(0, len(FILES), BATCH)]
        self.calls = 0

    def __call__(self, x):
        values = self.batches[self.calls % len(self.batches)]
        self.calls += 1
        return torch.tensor(values, dtype=torch.float32)[:x.size(0)]


class GivenCrop(fa.RandomResizedCropGPU):
    def __init__(self, size, boxes):
        super().__init__(size, min_scale=.75, ratio=(1, 1))
        self.boxes, self.calls = boxes, 0

    def before_call(self, b, split_idx):
        if split_idx:
            return super().before_call(b, split_idx)
        left, top, width, height = self.boxes[self.calls % len(self.boxes)]
        self.do, self.cp_size, self.tl = True, (height, width), (top, left)
        self.calls += 1


class GivenResize(fa.Resize):
    def __init__(self, size, crops):
        super().__init__(size)
        self.crops, self.calls = crops, 0

    def before_call(self, b, split_idx):
        super().before_call(b, split_idx)
        if not split_idx:
            self.pcts = self.crops[self.calls % len(self.crops)]
            self.calls += 1


class Recipe:
    """fastai's transforms with the given draws of all passes."""

    def __init__(self, passes):
        d = {key: Draws(passes, key) for key in passes[0]["draws"][0]}
        self.resize = GivenResize(RESIZE, [crop for p in passes for crop in p["crops"]])
        self.crop = GivenCrop(SIZE, [box for p in passes for box in p["boxes"]])
        self.batch = fa.setup_aug_tfms([
            fa.Flip(p=1., draw=d["flip"]), fa.Warp(p=1., draw_x=d["warp_x"], draw_y=d["warp_y"]), fa.Rotate(p=1., draw=d["degrees"]),
            fa.Zoom(p=1., draw=d["zoom"], draw_x=d["zoom_x"], draw_y=d["zoom_y"]), fa.Brightness(p=1., draw=d["brightness"]),
            fa.Contrast(p=1., draw=d["contrast"]), self.crop])
        self.counters = [self.resize, self.crop, *d.values()]

    def restart(self):
        for counter in self.counters:
            counter.calls = 0

    def check(self):
        """Checks that each draw was used once; the plain pass, the last, also asks for warp and lighting, and ignores them."""
        calls = [counter.calls for counter in self.counters]
        batches = -(-len(FILES) // BATCH)
        assert calls == [PASSES * len(FILES)] + 6 * [PASSES * batches] + 4 * [(PASSES + 1) * batches], calls


def torchvision_name(name):
    """fastai's name of a tensor as make_resnet.py's: 0.4.0.conv1.weight is layer1.0.conv1.weight, 1.4.weight is head.4.weight."""
    if name == "1.8.weight":
        return LAST
    part, child, rest = name.split(".", 2)
    body = dict(zip("014567", ["conv1", "bn1", "layer1", "layer2", "layer3", "layer4"]))
    return f"head.{child}.{rest}" if part == "1" else f"{body[child]}.{rest}"


def learner_of(recipe):
    block = DataBlock(blocks=(ImageBlock, CategoryBlock(vocab=VOCAB)), splitter=IndexSplitter([0]), get_y=lambda path: VOCAB[0],
                      item_tfms=recipe.resize, batch_tfms=[*recipe.batch, Normalize.from_stats(*imagenet_stats, cuda=False)])
    dls = block.dataloaders([DATA / name for name in FILES], bs=BATCH, num_workers=0, device="cpu")
    learner = vision_learner(dls, resnet18, pretrained=False, normalize=False)
    state = learner.model.state_dict()
    values = {name: value_of(torchvision_name(name), x.shape).float() if x.is_floating_point() else x for name, x in state.items()}
    learner.model.load_state_dict(values)
    return learner


def rows(x):
    return [[float(f"{v:.9g}") for v in row] for row in x.tolist()]


def main():
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent / "predict")
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    passes = given(np.random.default_rng(11))
    recipe = Recipe(passes)
    learner = learner_of(recipe)
    paths = [DATA / name for name in FILES]
    predict = []
    with learner.no_bar(), learner.no_logging():
        for path in paths:
            label, index, probabilities = learner.predict(path)
            predict.append(dict(label=str(label), index=int(index), probabilities=rows(probabilities[None])[0]))
        batch = learner.get_preds(dl=learner.dls.test_dl(paths, bs=BATCH, num_workers=0))[0]
        said = {}
        for options in dict(beta=None), dict(beta=.25), dict(use_max=True):
            recipe.restart()
            preds = learner.tta(dl=learner.dls.test_dl(paths, bs=BATCH, num_workers=0), n=PASSES, **options)[0]
            recipe.check()
            said |= dict(zip(["augmented", "plain"], preds)) if options.get("beta", 0) is None else {
                "largest" if "use_max" in options else "mixed": preds}
    for entry in predict:
        print(entry["label"], np.round(entry["probabilities"], 3))
    torches = [module.__version__.split("+")[0] for module in (torch, torchvision)]
    made_with = f"fastai {fastai.__version__}, torch {torches[0]}, torchvision {torches[1]}, pillow {PIL.__version__}"
    document = dict(made_with=made_with, files=FILES, vocab=VOCAB, resize=RESIZE, size=SIZE, batch_size=BATCH, predict=predict,
                    batch=rows(batch), passes=passes, tta={key: rows(x) for key, x in said.items()})
    (folder / "expected.json").write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
