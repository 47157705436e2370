#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Rows on real photos: fastai trains briefly and saves, and the program opens its files.

    photos.py --photos ZIP --weights PTH --program mirilla --rows FILE.jsonl [--only ID] [--cache FOLDER]

ZIP has train/<class>/ and test/<class>/; PTH is torchvision's resnet18, its classifier of any size. The learner is the course's at half size:
Resize(128), aug_transforms(size=64), the body from PTH, one frozen epoch. fastai's results are cached and reused. Needs the
Python of tests/oracle/README.md, and the program parity_data of photos_data/ beside mirilla.
"""
import argparse
import hashlib
import inspect
import json
import pathlib
import subprocess
import sys
import tempfile
import zipfile
from importlib.metadata import version

import numpy as np
from rows import row

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "oracle"))
RESIZE, SIZE, SEED = 128, 64, 42
FILES = {"plain": "with_opt=False", "optimizer": "with its optimizer"}
EXPLAINED = 12  # photos whose Grad-CAM is compared, and 9 whose logits are
LAYERS = {"last": "model[0]", "earlier": "model[0][-2]"}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("photos", "weights", "program"):
        parser.add_argument("--" + name, required=True, type=lambda path: pathlib.Path(path).absolute())
    parser.add_argument("--rows", required=True)
    parser.add_argument("--only", help="a row's id")
    parser.add_argument("--cache", type=pathlib.Path, default=ROOT / "build" / "parity" / "photos")
    return parser.parse_args()


# --- fastai's results


def sorted_photos(folder):
    from fastai.vision.all import get_image_files
    return sorted(get_image_files(folder), key=lambda path: path.as_posix().encode())


def unpacked(options):
    """The folder that holds train/ and test/."""
    folder = options.cache / "photos"
    if not folder.exists():
        with zipfile.ZipFile(options.photos) as file:
            file.extractall(folder)
    return next(path.parent for path in folder.rglob("test") if path.is_dir())


def make_learner(photos, weights):
    import torch
    from fastai.vision.all import (CategoryBlock, DataBlock, ImageBlock, Normalize, RandomSplitter, Resize, accuracy, aug_transforms,
                                   imagenet_stats, parent_label, vision_learner)
    from torchvision.models import resnet18
    block = DataBlock(blocks=(ImageBlock, CategoryBlock), get_items=sorted_photos, splitter=RandomSplitter(.2, seed=SEED), get_y=parent_label,
                      item_tfms=Resize(RESIZE),
                      batch_tfms=[*aug_transforms(size=SIZE, min_scale=.75), Normalize.from_stats(*imagenet_stats)])
    loaders = block.dataloaders(photos / "train", bs=128, num_workers=0, device="cpu")
    learn = vision_learner(loaders, resnet18, pretrained=False, metrics=accuracy)
    body = resnet18(weights=None)
    body.load_state_dict({k: v for k, v in torch.load(weights).items() if not k.startswith("fc.")}, strict=False)
    for ours, theirs in zip(learn.model[0].children(), body.children()):
        ours.load_state_dict(theirs.state_dict())
    return learn


def ask_fastai(options, photos, folder):
    """Trains, saves, and records fastai's results."""
    import torch
    from make_grad_cam import course_map
    torch.manual_seed(SEED)
    learn = make_learner(photos, options.weights)
    learn.path, learn.model_dir = folder, "."
    with learn.no_bar():
        learn.freeze()  # the first half of fine_tune
        learn.fit_one_cycle(1, slice(1e-3), pct_start=.99)
        for name in FILES:
            learn.save(name, with_opt=name == "optimizer")
        tests = sorted_photos(photos / "test")
        loader = learn.dls.test_dl(tests, with_labels=True)
        given = {"probabilities": learn.get_preds(dl=loader)[0].numpy()}
        loss, right = learn.validate(dl=loader)
    given |= {"loss": loss, "accuracy": right, "vocab": list(learn.dls.vocab), "files": [str(p.relative_to(photos)) for p in tests]}
    given["classes"] = [k % len(given["vocab"]) for k in range(EXPLAINED)]
    for k, path in enumerate(explained(tests)):
        x, = learn.dls.test_dl([path]).one_batch()
        for name, layer in ("last", learn.model[0]), ("earlier", learn.model[0][-2]):
            given[f"cam.{k}.{name}"] = np.asarray(course_map(learn.model, x, given["classes"][k], layer)[0])
    given["logits"] = classifier_logits(options.weights, learn, explained(tests)[:9])
    np.savez(folder / "given.npz", **given)


def classifier_logits(weights, learn, paths):
    """The results of the whole network in PTH, in double, on pictures as in the learner's validation."""
    import torch
    from torchvision.models import resnet18
    state = torch.load(weights)
    network = resnet18(weights=None, num_classes=len(state["fc.weight"]))
    network.load_state_dict(state)
    with torch.no_grad():
        x, = learn.dls.test_dl(paths).one_batch()
        return network.double().eval()(torch.Tensor(x).double()).numpy()


def explained(tests):
    return tests[::len(tests) // EXPLAINED][:EXPLAINED]


def fastai_gave(options, photos):
    recipe = "".join(map(inspect.getsource, (make_learner, ask_fastai, classifier_logits, explained))) + repr((RESIZE, SIZE, SEED, EXPLAINED))
    key = hashlib.sha256(recipe.encode() + options.weights.read_bytes() + options.photos.read_bytes()).hexdigest()[:16]
    folder = options.cache.absolute() / key
    if not (folder / "given.npz").exists():
        folder.mkdir(parents=True, exist_ok=True)
        ask_fastai(options, photos, folder)
    return folder, dict(np.load(folder / "given.npz"))


# --- The program's results


def ask(options, *words):
    done = subprocess.run([str(word) for word in (options.program, *words)], check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    return json.loads(done.stdout)


def model_options(given):
    return ["--vocab", ",".join(given["vocab"]), "--resize", RESIZE, "--size", SIZE, "--json"]


def predict_rows(options, photos, folder, given, add):
    largest = 0
    for name in FILES:
        answer = ask(options, "predict", folder / f"{name}.pth", photos / "test", *model_options(given))
        said = {str(pathlib.Path(p["file"]).relative_to(photos)): list(p["probabilities"].values()) for p in answer}
        assert sorted(said) == sorted(given["files"])
        largest = max(largest, np.abs(np.array([said[file] for file in given["files"]]) - given["probabilities"]).max())
    add("files.photos-predict", f"learn.save's file, with and without its optimizer: probabilities of the {len(given['files'])} photos of test/",
        largest, 1e-4, "of 1", "f32 sums in another order through 18 layers")


def accuracy_rows(options, photos, folder, given, add):
    vocab, right = list(given["vocab"]), round(float(given["accuracy"]) * len(given["files"]))
    wanted = np.zeros((len(vocab), len(vocab)), int)
    np.add.at(wanted, ([vocab.index(path.split("/")[-2]) for path in given["files"]], given["probabilities"].argmax(1)), 1)
    apart = 0
    for name in FILES:
        answer = ask(options, "eval", folder / f"{name}.pth", "--data", options.photos, *model_options(given))
        apart = max(apart, abs(answer["correct"] - right) + np.abs(np.array(answer["confusion"]) - wanted).sum())
    add("files.photos-accuracy", f"the same files by eval: how many of test/ are right ({right} of {len(given['files'])}), the confusion matrix",
        apart, 0, "photos", "no photo has two classes that are equally likely")


def grad_cam_rows(options, photos, folder, given, add):
    furthest = dict.fromkeys(LAYERS, 0)
    with tempfile.TemporaryDirectory() as out:
        for name in FILES:
            for k, path in enumerate(explained(given["files"])):
                layers = [word for layer in LAYERS.values() for word in ("--layer", layer)]
                ask(options, "gradcam", folder / f"{name}.pth", photos / path, *layers, "--class", given["classes"][k], "--out",
                    f"{out}/cam.png", "--npy", f"{out}/cam.npy", *model_options(given))
                for layer, file in ("last", "cam.layer4.npy"), ("earlier", "cam.layer3.npy"):
                    wanted = given[f"cam.{k}.{layer}"]
                    apart = np.abs(np.load(f"{out}/{file}") - wanted).max() / np.ptp(wanted)
                    furthest[layer] = max(furthest[layer], apart)
    for layer, module in LAYERS.items():
        add(f"files.photos-grad-cam-{layer}", f"the same files: Grad-CAM at {module}, {EXPLAINED} photos", furthest[layer], 1e-3,
            "of the map's range", "as the probabilities; a ReLU near 0 may fall on the other side")


def logits_rows(options, photos, folder, given, add):
    came = []
    with tempfile.TemporaryDirectory() as out:
        for path in explained(given["files"])[:9]:
            came.append(ask(options, "gradcam", options.weights, photos / path, "--out", f"{out}/cam.png", *model_options(given)[2:])["logits"])
    add("network.photos-logits", f"the weights' {len(came[0])} logits on 9 photos", np.abs(np.array(came) - given["logits"]).max(), 1e-4,
        "of a logit", "f32 against torchvision's in double", f"torchvision {version('torchvision').split('+')[0]}")


def split_rows(options, photos, add):
    from fastai.vision.all import RandomSplitter
    items = sorted_photos(photos / "train")
    wanted = [items[i].relative_to(photos).as_posix() for i in RandomSplitter(.2, seed=SEED)(items)[1]]
    command = [options.program.with_name("parity_data"), "split", options.photos, str(SEED)]
    lines = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    came = ["/".join(line.split("/")[-3:]) for line in lines]
    apart = abs(len(came) - len(wanted)) + sum(a != b for a, b in zip(came, wanted))
    add("split.photos", f"RandomSplitter(0.2, seed={SEED}) of the {len(items)} photos: the {len(wanted)} validation names in their order", apart,
        0, "names", "the same generator")


def fastais_pixels(path):
    from fastai.vision.all import PILImage, Resize
    return np.asarray(Resize(RESIZE)(PILImage.create(path), split_idx=1))


def pixels_rows(options, photos, add):
    program = subprocess.Popen([options.program.with_name("parity_data"), "pixels", options.photos, str(RESIZE)], stdout=subprocess.PIPE)
    differing, seen = 0, set()
    while line := program.stdout.readline():
        path = "/".join(line.decode().rstrip("\n").split("/")[-3:])
        came = np.frombuffer(program.stdout.read(RESIZE * RESIZE * 3), np.uint8).reshape(RESIZE, RESIZE, 3)
        differing += int((came != fastais_pixels(photos / path)).sum())
        seen.add(path)
    assert program.wait() == 0
    wanted = {path.relative_to(photos).as_posix() for part in ("train", "test") for path in sorted_photos(photos / part)}
    add("pictures.photos", f"all {len(wanted)} photos, decoded and Resize({RESIZE}) as in validation", differing + len(wanted ^ seen), 0,
        "bytes that differ", "the same arithmetic", f"pillow {version('pillow')}")


def main():
    options = arguments()
    photos = unpacked(options)
    good = True

    def add(id, what, measured, tolerance, unit, because, against=f"fastai {version('fastai')}"):
        nonlocal good
        if options.only in (None, id):
            good = row(options.rows, id, what, against, measured, tolerance, unit, because, "photos.py") and good

    def wanted(*prefixes):
        return options.only is None or options.only.startswith(prefixes)

    if wanted("split."):
        split_rows(options, photos, add)
    if wanted("pictures."):
        pixels_rows(options, photos, add)
    if wanted("files.", "network."):
        folder, given = fastai_gave(options, photos)
        for prefix, rows in (("files.photos-predict", predict_rows), ("files.photos-accuracy", accuracy_rows),
                             ("files.photos-grad-cam", grad_cam_rows), ("network.", logits_rows)):
            if wanted(prefix):
                rows(options, photos, folder, given, add)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
