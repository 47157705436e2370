#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Picture files and fastai's results for them, from the file to the output of Resize: python make_pictures.py [FOLDER]

Needs Pillow 13.0, fastai 2.8.12, torch 2.11. make_data.py has the kinds of files, this script adds more JPEGs with progressive
scans and four colours, all eight EXIF orientations, and Resize on whole files, run as in fastai: PILImage.create, then the transform
with split_idx 0 (its two draws, x first, are given) or 1 (validation).

pictures.safetensors
  <name>        u8 (bytes), the file
  <name>.pixels u8 (h,w,3), PILImage.create(file)
  resize.<i>    u8 (size,4), for each row of the i-th resized picture the lower half of the FNV-1a-64 of its bytes, lowest byte first
pictures.json   kinds: row of the parity page -> names; resize: file, size, draws (null: validation) and fastai's crop
"""
import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from fastai.vision import augment
from fastai.vision.all import PILImage, Resize
from PIL import Image

from oracle_file import fnv1a64, units, write_safetensors


def scene(name, w, h, noise=6):
    """Slopes, an edge and some noise."""
    y, x = np.mgrid[0:h, 0:w].astype(np.float64)
    rgb = np.stack([255 * x / max(w - 1, 1), 255 * y / max(h - 1, 1), 127 + 120 * np.sin(x * 0.11 + y * 0.07)], axis=-1)
    rgb[h // 3 : h // 2, w // 4 : w // 2] = (250, 10, 30)
    rgb += noise * (2 * units(name, rgb.size).reshape(rgb.shape) - 1)
    return Image.fromarray(np.clip(rgb, 0, 255).astype(np.uint8))


def saved(image, kind="jpeg", **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def turned(image, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return saved(image, quality=60, exif=exif)


def cmyk(name, w, h):
    four = np.dstack([np.asarray(scene(name, w, h)), np.asarray(scene(name + ".black", w, h))[..., :1] // 2])
    return Image.fromarray(four, "CMYK")


def make_kinds():
    """{row: {name: file}}"""
    small, odd = scene("small", 19, 27), scene("odd", 35, 23)
    deep = (65535 * units("deep", 21 * 17)).astype(np.uint16).reshape(21, 17)
    return {
        "exif": {f"exif{k}.jpg": turned(small, k) for k in range(1, 9)},
        "progressive": {
            "progressive_444.jpg": saved(odd, quality=85, subsampling=0, progressive=True),
            "progressive_422.jpg": saved(odd, quality=60, subsampling=1, progressive=True),
            "progressive_grey.jpg": saved(odd.convert("L"), quality=75, progressive=True),
            "progressive_cmyk.jpg": saved(cmyk("progressive cmyk", 22, 31), quality=75, progressive=True),
        },
        "cmyk": {
            "cmyk_420.jpg": saved(cmyk("cmyk 420", 35, 23), quality=75, subsampling=2),
            "cmyk_444.jpg": saved(cmyk("cmyk 444", 23, 17), quality=90, subsampling=0),
        },
        "grey": {"grey_odd.jpg": saved(scene("grey", 41, 13).convert("L"), quality=40)},
        "png16": {"deep.png": saved(Image.fromarray(deep // 200), "png"), "deep_clipped.png": saved(Image.fromarray(deep), "png")},
    }


# fastai uses int(m * size) with m = min(w,h) / size, in double: one less than min(w,h) for these widths at 224.
LESS = [61, 115, 122, 230]


def make_resizes():
    """[(row, name, file, size, draws)]; pictures for 224 are smooth, so that their files are small."""
    wide, tall = saved(scene("wide", 93, 61), quality=80), saved(scene("tall", 47, 75), quality=80)
    square = saved(scene("square", 53, 53), quality=80)
    drawn = [(0.0, 0.0), (0.731, 0.289), (0.9999999, 0.9999999), None]
    cases = []
    for name, file in {"wide.jpg": wide, "tall.jpg": tall, "square.jpg": square}.items():
        for size in (17, 40):
            cases += [("resize-down", name, file, size, draws) for draws in drawn]
        for size in (100, 131):
            cases += [("resize-up", name, file, size, draws) for draws in drawn]
    large = saved(scene("large", 331, 257, noise=0), quality=50)
    cases += [("resize-down", "large.jpg", large, size, draws) for size in (64, 224) for draws in drawn]
    for side in LESS:
        file = saved(scene(f"less {side}", side, side + side // 3, noise=0), quality=50)
        cases += [("resize-one-less", f"less_{side}.jpg", file, 224, draws) for draws in drawn]
    kinds = {
        "resized_grey.jpg": saved(scene("grey 2", 45, 31).convert("L"), quality=75),
        "resized_cmyk.jpg": saved(cmyk("cmyk 2", 31, 45), quality=75),
        "resized_progressive.jpg": saved(scene("progressive 2", 45, 31), quality=75, progressive=True),
        "resized_exif.jpg": turned(scene("exif 2", 31, 45), 8),
        "resized_deep.png": saved(Image.fromarray((300 * units("deep 2", 45 * 31)).astype(np.uint16).reshape(45, 31)), "png"),
    }
    for name, file in kinds.items():
        cases += [("resize-kinds", name, file, size, draws) for size in (19, 64) for draws in ((0.4, 0.77), None)]
    return cases


def resized(file, size, draws):
    """fastai's picture and its crop."""
    transform, seen = Resize(size), {}

    class Probe(PILImage):
        def crop_pad(self, sz, tl=None, **kwargs):
            seen["box"] = [int(tl[0]), int(tl[1]), int(sz[0]), int(sz[1])]
            return super().crop_pad(sz, tl, **kwargs)

    random, augment.random = augment.random, SimpleNamespace(random=iter(draws or ()).__next__)
    try:
        picture = transform(Probe.create(io.BytesIO(file)), split_idx=1 if draws is None else 0)
    finally:
        augment.random = random
    return np.asarray(picture), seen["box"]


def main():
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent / "pictures")
    tensors, kinds, resizes = {}, {}, []
    for row, files in make_kinds().items():
        kinds[row] = list(files)
        for name, file in files.items():
            tensors[name] = np.frombuffer(file, np.uint8)
            tensors[name + ".pixels"] = np.asarray(PILImage.create(io.BytesIO(file)))
    upright = [tensors[f"exif{k}.jpg.pixels"] for k in range(1, 9)]
    assert all((pixels == upright[0]).all() for pixels in upright)
    for i, (row, name, file, size, draws) in enumerate(make_resizes()):
        tensors[name] = np.frombuffer(file, np.uint8)
        pixels, box = resized(file, size, draws)
        assert pixels.shape == (size, size, 3)
        digests = np.array([fnv1a64(line.tobytes()) % 2**32 for line in pixels], "<u4")
        tensors[f"resize.{i}"] = digests.view(np.uint8).reshape(size, 4)
        resizes.append(dict(row=row, file=name, size=size, draws=draws, box=box))
    less = [case["box"][2] < min(PILImage.create(io.BytesIO(tensors[case["file"]].tobytes())).size) for case in resizes]
    assert [one for one, case in zip(less, resizes) if case["row"] == "resize-one-less"] == [True] * 16
    made_with = {m: __import__(m).__version__.split("+")[0] for m in ("PIL", "fastai", "torch")}
    write_safetensors(folder / "pictures.safetensors", tensors, {"made_with": json.dumps(made_with)})
    lines = ",\n".join("  " + json.dumps(case) for case in resizes)
    text = f'{{"made_with": {json.dumps(made_with)},\n "kinds": {json.dumps(kinds)},\n "resize": [\n{lines}]}}\n'
    (folder / "pictures.json").write_text(text)


if __name__ == "__main__":
    main()
