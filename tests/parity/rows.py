# SPDX-License-Identifier: MIT
"""A row of docs/parity.md, in the form of row.cpp: for the rows that are measured by running the program and fastai."""
import json
import math
import pathlib
import subprocess


def row(file, id, what, against, measured, tolerance, unit, because, test=None):
    """Appends a row to `file`; returns whether it is green."""
    measured = float(measured)
    green = measured <= tolerance  # NaN is not
    line = dict(id=id, what=what, against=against, measured=measured if math.isfinite(measured) else None, tolerance=tolerance, unit=unit,
                because=because, green=green, test=test)
    with open(file, "a") as out:
        out.write(json.dumps(line) + "\n")
    print(f"{'green' if green else 'RED  '}  {id}: {measured:.3g} {unit}, at most {tolerance:.3g}", flush=True)
    return green


def read_lines(file):
    with open(file) as lines:
        return [json.loads(line) for line in lines]


def read(file):
    """The rows of a file by their ids; the last one per id counts."""
    return {r["id"]: r for r in read_lines(file)}


def commit():
    """The name of this tree's version."""
    described = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=pathlib.Path(__file__).parent, stdout=subprocess.PIPE, text=True)
    return described.stdout.strip() or "unknown"
