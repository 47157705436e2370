#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes tests/oracle/cam_figure/cam_figure.safetensors with matplotlib: python tests/oracle/make_cam_figure.py [FOLDER]

The course's Grad-CAM figure as matplotlib's Agg draws it, without the frame: the axes fill the figure. Needs matplotlib 3.11.

  table.<name> (256,3) U8      the colour tables, colormap(i, bytes=True)
  course.<i> (64,64,3) U8      the notebook's two calls, with default extent for the picture of 32x32: imshow(picture), then
                               imshow(map, alpha=.6, extent=(0,32,32,0), interpolation='bilinear', cmap='magma'); two screen pixels per
                               pixel. imshow's default extent begins at -.5, so the picture is drawn half a pixel, here one of the
                               screen's, to the upper left of the map, and the map covers white at the right and the bottom
  aligned.<i> (64,64,3) U8     a picture of 64x64 with extent=(0,64,64,0) too, pixel for pixel, other colour tables; maps of the sizes of
                               layer4 and layer3 for pictures of 128 and 224

The pictures are int(256 u) of units("cam_figure.picture.<side>"), the maps 2 u - 1 of units("cam_figure.map.<height>x<width>").
"""
import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from oracle_file import units, write_safetensors

TABLES = ["magma", "viridis", "inferno", "jet"]
COURSE = [(4, 4)]
ALIGNED = [("inferno", (8, 8)), ("viridis", (7, 7)), ("jet", (4, 4))]


def picture_of(side):
    return (256 * units(f"cam_figure.picture.{side}", side * side * 3)).astype(np.uint8).reshape(side, side, 3)


def map_of(shape):
    return (2 * units("cam_figure.map.%dx%d" % shape, shape[0] * shape[1]) - 1).astype(np.float32).reshape(shape)


def drawn(picture, values, pixels, cmap, **picture_options):
    figure = plt.figure(figsize=(pixels / 100, pixels / 100), dpi=100)
    axes = figure.add_axes([0, 0, 1, 1])
    axes.axis("off")
    side = len(picture)
    axes.imshow(picture, **picture_options)
    axes.imshow(values, alpha=0.6, extent=(0, side, side, 0), interpolation="bilinear", cmap=cmap)
    figure.canvas.draw()
    pixels = np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()
    plt.close(figure)
    return pixels


def main():
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "cam_figure"
    tensors = {f"table.{name}": matplotlib.colormaps[name](np.arange(256), bytes=True)[:, :3] for name in TABLES}
    cases = []
    for i, shape in enumerate(COURSE):
        tensors[f"course.{i}"] = drawn(picture_of(32), map_of(shape), 64, "magma")
        cases.append({"name": f"course.{i}", "side": 32, "map": shape, "table": "magma"})
    for i, (table, shape) in enumerate(ALIGNED):
        tensors[f"aligned.{i}"] = drawn(picture_of(64), map_of(shape), 64, table, extent=(0, 64, 64, 0))
        cases.append({"name": f"aligned.{i}", "side": 64, "map": shape, "table": table})
    write_safetensors(out / "cam_figure.safetensors", tensors, {"matplotlib": matplotlib.__version__, "cases": json.dumps(cases)})


if __name__ == "__main__":
    main()
