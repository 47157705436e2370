#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Splits made by fastai's RandomSplitter: python make_split.py [FOLDER]

Needs fastai 2.8.12, torch 2.11. split.json: for each n, valid_pct and seed, and for both parts, how many indices there are, the first and
the last five, and the FNV-1a-64 of all of them as little-endian u32, in hexadecimal.
"""
import json
import sys
from pathlib import Path

import fastai
import numpy as np
import torch
from fastai.data.transforms import RandomSplitter

from oracle_file import fnv1a64

SEEDS = [0, 1, 42, 123, 2024, 2**31 - 1, 2**31, 2**32 - 1, 2**32 + 5]


def part(indices):
    indices = [int(i) for i in indices]
    return dict(n=len(indices), first=indices[:5], last=indices[-5:], digest=f"{fnv1a64(np.array(indices, '<u4').tobytes()):016x}")


def main():
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent / "split")
    folder.mkdir(parents=True, exist_ok=True)
    wanted = [(n, 0.2, seed) for n in (10, 1000, 3000, 14034) for seed in SEEDS]
    wanted += [(n, share, 42) for n in (10, 1000, 3000) for share in (0.1, 0.29, 0.57, 0.7)]  # int(.29 * 1000) and others are one less
    lines = []
    for n, share, seed in wanted:
        train, valid = RandomSplitter(valid_pct=share, seed=seed)(range(n))
        lines.append("  " + json.dumps(dict(n=n, valid_pct=share, seed=seed, train=part(train), valid=part(valid))))
    made_with = json.dumps(dict(fastai=fastai.__version__, torch=torch.__version__.split("+")[0]))
    (folder / "split.json").write_text(f'{{"made_with": {made_with},\n "splits": [\n' + ",\n".join(lines) + "]}\n")


if __name__ == "__main__":
    main()
