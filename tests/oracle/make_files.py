#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes tests/oracle/files/ with fastai's learn.save: python tests/oracle/make_files.py [FOLDER]

Needs torch 2.11, torchvision 0.26 and fastai 2.8.12. A vision_learner of a resnet18 is trained briefly with fine_tune, gets values that
need not be stored, and is saved with and without its optimizer. The files would be 45 and 134 MB; only data that a test cannot make itself
is kept:

  plain.pkl, optimizer.pkl   the pickle of each file, as fastai wrote it: names, sizes, strides, the optimizer's numbers
  storages.json              for each file its entries in their order, [name, content]; the content is a text or, for data/0, data/1, ...
                             {"of": ..., "crc32": as in fastai's own file}, where "of" is one of
                               a tensor's name in Mirilla     its values by the formulas of make_resnet.py, in PyTorch's layout
                               "norms:<name>"                 that tensor of expected.safetensors
                               [type, number, value]          this many f32 or i64, all of this value
  expected.safetensors       norms.<name>       F32, running statistics of the head's norms, made on the pictures below, so that the
                                                network distinguishes them
                             probabilities      F32 (12,6), learn.get_preds
                             loss, accuracy     F32 (), learn.validate with the pictures' labels
                             cam.<picture>.<class>.<layer>   F32 (h,w), Grad-CAM of learn.model as in the course
                             the metadata has vocab, resize and size

Picture k (12 of them) is of class k mod 6, 96 + 16 (k mod 4) wide, 100 + 24 (k mod 3) high, and made of squares of side CELLS[k], the last of
a row or column cut: square (row,column) has the colour int(256 u), u being "files.picture.<k>" in (row,column,3) order.
"""
import json
import sys
import tempfile
import zipfile
import zlib
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from fastai.callback.hook import hook_output
from fastai.vision.all import (CategoryBlock, DataBlock, ImageBlock, IndexSplitter, Normalize, PILImage, Resize, TensorImage, accuracy,
                               aug_transforms, get_image_files, imagenet_stats, parent_label, vision_learner)
from make_grad_cam import course_map, layers_of, our_name
from make_resnet import value_of
from oracle_file import units, write_safetensors
from PIL import Image
from torchvision.models import resnet18

VOCAB = ["buildings", "forest", "glacier", "mountain", "sea", "street"]
RESIZE, SIZE = 144, 128
CELLS = [2, 5, 11, 29, 3, 60, 7, 17, 41, 4, 90, 23]
MAPS = [(0, 0), (3, 4), (7, 2), (10, 5)]  # (picture, class)
NORMS = [2, 6]  # the children of the head


def draw_picture(k):
    width, height, cell = 96 + 16 * (k % 4), 100 + 24 * (k % 3), CELLS[k]
    rows, columns = -(-height // cell), -(-width // cell)
    colours = (256 * units(f"files.picture.{k}", rows * columns * 3)).astype(np.uint8).reshape(rows, columns, 3)
    return Image.fromarray(colours.repeat(cell, 0).repeat(cell, 1)[:height, :width])


def write_pictures(folder):
    for k in range(len(CELLS)):
        path = folder / VOCAB[k % 6] / f"{k:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        draw_picture(k).save(path)
    return sorted(get_image_files(folder), key=lambda path: path.stem)


def trained_learner(pictures, folder):
    block = DataBlock(blocks=(ImageBlock, CategoryBlock), get_items=lambda _: pictures, get_y=parent_label, item_tfms=Resize(RESIZE),
                      splitter=IndexSplitter(range(8, 12)),
                      batch_tfms=[*aug_transforms(size=SIZE, min_scale=.75), Normalize.from_stats(*imagenet_stats)])
    loaders = block.dataloaders(folder, bs=4, num_workers=0, device="cpu")
    learn = vision_learner(loaders, resnet18, pretrained=False, metrics=accuracy, path=folder)
    with learn.no_bar(), learn.no_logging():
        learn.fine_tune(1, base_lr=1e-3)
    return learn


def give_values(learn, pictures):
    """Named values, and running statistics that fit the pictures. Returns the latter by our names."""
    model, state = learn.model.eval(), learn.model.state_dict()
    model.load_state_dict({name: value_of(our_name(name), x.shape).float() if x.is_floating_point() else x for name, x in state.items()})
    model.double()  # so that rounding gives the same on every processor
    resized = np.stack([np.asarray(Resize(RESIZE)(PILImage.create(path), split_idx=1)) for path in pictures])
    x = Normalize.from_stats(*imagenet_stats, cuda=False).encodes(TensorImage(resized).permute(0, 3, 1, 2).double() / 255)
    norms = {}
    for i in NORMS:  # the statistics of the first change the input of the second
        with hook_output(model[1][i - 1]) as before, torch.no_grad():
            model(torch.Tensor.contiguous(x))
        seen = before.stored
        for what, values in ("running_mean", seen.mean(0)), ("running_var", seen.var(0).clamp(min=1 / 16)):
            norms[f"head.{i}.{what}"] = ((values * 1024).round() / 1024).as_subclass(torch.Tensor).float()
            getattr(model[1][i], what).copy_(norms[f"head.{i}.{what}"])
    model.float()
    return norms


def give_optimizer_values(learn):
    """A value for each tensor of the optimizer's state. Returns them in the order in which the file will hold them."""
    tensors = [x for state in learn.opt.state_dict()["state"] for x in state.values() if torch.is_tensor(x)]
    values = [(i + 1) / 1024 for i in range(len(tensors))]
    for x, value in zip(tensors, values):
        x.fill_(value)
    return [["f32", x.numel(), value] for x, value in zip(tensors, values)]


def model_storages(learn, norms):
    """The contents of the model's storages, in the order of state_dict."""
    out = []
    for name, x in learn.model.state_dict().items():
        ours_name = our_name(name)
        counter = ["i64", 1, x.item()] if not x.is_floating_point() else None
        out.append(counter or ("norms:" + ours_name if ours_name in norms else ours_name))
    return out


def content_of(what, norms, shapes):
    """The bytes of a storage, made from its description in storages.json."""
    if isinstance(what, list):
        kind, n, value = what
        return np.full(n, value, {"f32": np.float32, "i64": np.int64}[kind]).tobytes()
    if what.startswith("norms:"):
        return norms[what.removeprefix("norms:")].numpy().tobytes()
    return value_of(what, shapes[what]).float().numpy().tobytes()


def describe(path, storages, norms, shapes):
    """The entries of a file that fastai wrote, without its pickle; after checking that the storages are as described."""
    entries, pickle = [], None
    with zipfile.ZipFile(path) as file:
        for info in file.infolist():
            name, content = info.filename.partition("/")[2], file.read(info)
            if name == "data.pkl":
                pickle = content
                entries.append([name, ""])
            elif name.startswith("data/"):
                what = storages[int(name.removeprefix("data/"))]
                assert content_of(what, norms, shapes) == content, (path, name, what)
                entries.append([name, {"of": what, "crc32": zlib.crc32(content)}])
            else:
                entries.append([name, content.decode()])
    assert sum(name.startswith("data/") for name, _ in entries) == len(storages)
    return entries, pickle


def main():
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "files"
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    storages, expected = {}, {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pictures = write_pictures(folder)
        learn = trained_learner(pictures, folder)
        assert list(learn.dls.vocab) == VOCAB
        norms = give_values(learn, pictures)
        of_optimizer = give_optimizer_values(learn)
        shapes = {our_name(name): x.shape for name, x in learn.model.state_dict().items()}
        of_model = model_storages(learn, norms)
        for kind, all_of_it in ("plain", of_model), ("optimizer", of_model + of_optimizer):
            path = learn.save(kind, with_opt=kind == "optimizer")
            storages[kind], pickle = describe(path, all_of_it, norms, shapes)
            (out / f"{kind}.pkl").write_bytes(pickle)
        with learn.no_bar(), learn.no_logging():
            expected["probabilities"] = learn.get_preds(dl=learn.dls.test_dl(pictures))[0]
            loss, right = learn.validate(dl=learn.dls.test_dl(pictures, with_labels=True))
        expected |= {"loss": torch.tensor(loss), "accuracy": torch.tensor(right)}
        for k, cls in MAPS:
            x, = learn.dls.test_dl([pictures[k]]).one_batch()
            for layer, module in layers_of(learn.model).items():
                expected[f"cam.{k}.{cls}.{layer}"] = course_map(learn.model, x, cls, module)[0]
    expected |= {f"norms.{name}": x for name, x in norms.items()}
    versions = ", ".join(f"{package} {version(package).split('+')[0]}" for package in ("torch", "torchvision", "fastai"))
    write_safetensors(out / "expected.safetensors", {name: np.asarray(x.detach().contiguous(), np.float32) for name, x in expected.items()},
                      {"made_with": versions, "vocab": ",".join(VOCAB), "resize": str(RESIZE), "size": str(SIZE)})
    lines = [f'"{kind}": [\n' + ",\n".join(json.dumps(entry) for entry in entries) + "\n]" for kind, entries in storages.items()]
    (out / "storages.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
