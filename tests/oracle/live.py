#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes every file of this folder again, in a clean environment, and compares: `ctest --test-dir build/release -L oracle-live`

    live.py [--python PYTHON] [--work DIR] [SCRIPT...]

Without --python, a virtual environment is made in DIR and requirements.txt installed into it (a few GB; minutes). The scripts are copied to
DIR/oracle and run there. A file counts as the same if its bytes are, or if only the last digits of numbers differ: another processor
rounds sums differently. Training in f32 amplifies this: where a file has a tensor of one run in two layouts, NAME and
NAME.channels_last, each may be ten times as far from the stored one as these are from each other. Extra and missing files count as differences when all scripts run. Exits 1 where something differs.
"""
import argparse
import json
import math
import os
import pathlib
import shutil
import struct
import subprocess
import sys
import zipfile

HERE = pathlib.Path(__file__).resolve().parent
# Tolerances relative to a tensor's largest value, by dtype.
CLOSE = {"F64": 1e-9, "F32": 1e-5, "F16": 2e-3, "BF16": 2e-2}
NOT_DATA = {".py", ".h", ".md", ".txt", ".pyc"}
NAMED_BY_CHANCE = ("serialization_id", "debug_pkl")  # entries of torch.save's files that do not describe tensors
# Addresses of the run that wrote them. The tensors of those that are read are in expected.json too.
HOLD_ADDRESSES = {f"weights/{name}.pth" for name in ("legacy", "legacy_kinds", "legacy_whole_model", "scripted")}


def make_environment(work):
    """The Python of a new environment with everything in it."""
    folder = work / "environment"
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", HERE / "requirements.txt"], check=True)
    return python


def make_again(python, work, scripts):
    """Runs copies of the scripts; returns their output folder."""
    fresh = work / "oracle"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    for path in HERE.glob("*.py"):
        shutil.copy(path, fresh)
    for script in scripts:
        print(f"{script} ...", flush=True)
        subprocess.run([python, script], cwd=fresh, check=True, env=dict(os.environ, PYTHONDONTWRITEBYTECODE="1"), stdout=subprocess.DEVNULL)
    return fresh


def data_files(folder):
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file() and p.suffix not in NOT_DATA}


def furthest(wanted, came, close):
    """None if the numbers are close, else their distance, relative to the largest."""
    if len(wanted) != len(came):
        return f"{len(came)} numbers, not {len(wanted)}"
    scale = max((abs(x) for x in wanted if math.isfinite(x)), default=0) or 1
    for a, b in zip(wanted, came):
        if a != b and not (math.isnan(a) and math.isnan(b)) and not abs(a - b) <= close * scale:
            return f"{b!r}, not {a!r}"
    return None


def tensors_of(path):
    data = path.read_bytes()
    size, = struct.unpack_from("<Q", data)
    header = json.loads(data[8:8 + size])
    return header.pop("__metadata__", {}), {name: (about["dtype"], about["shape"], data[8 + size:][slice(*about["data_offsets"])])
                                            for name, about in header.items()}


def numbers_of(dtype, raw):
    if dtype == "BF16":
        return [struct.unpack("<f", b"\0\0" + raw[i:i + 2])[0] for i in range(0, len(raw), 2)]
    letter = {"F64": "d", "F32": "f", "F16": "e"}[dtype]
    return struct.unpack(f"<{len(raw) // struct.calcsize(letter)}{letter}", raw)


def closeness(name, tensors):
    """The tolerance of a tensor, relative to its largest value; None if it must be equal."""
    dtype, usual = tensors[name][0], name.removesuffix(".channels_last")
    other = usual + ".channels_last"
    if usual not in tensors or other not in tensors:
        return CLOSE.get(dtype)
    a, b = (numbers_of(dtype, tensors[run][2]) for run in (usual, other))
    return 10 * max(abs(x - y) for x, y in zip(a, b)) / (max(map(abs, a)) or 1)


def compare_safetensors(wanted, came):
    (wanted_meta, wanted_tensors), (came_meta, came_tensors) = tensors_of(wanted), tensors_of(came)
    if wanted_meta.keys() != came_meta.keys() or list(wanted_tensors) != list(came_tensors):
        return "other names"
    for name, (dtype, shape, raw) in wanted_tensors.items():
        other_dtype, other_shape, other = came_tensors[name]
        if (dtype, shape) != (other_dtype, other_shape):
            return f"{name}: {other_dtype} {other_shape}, not {dtype} {shape}"
        close = closeness(name, wanted_tensors)
        apart = None if raw == other else f"{name}: other values" if close is None else furthest(
            numbers_of(dtype, raw), numbers_of(dtype, other), close)
        if apart:
            return f"{name}: {apart}"
    return None


def compare_json(wanted, came, where="$"):
    if isinstance(wanted, float) or isinstance(came, float):
        numeric = all(isinstance(x, (int, float)) for x in (wanted, came))
        return (lambda apart: apart and f"{where}: {apart}")(furthest([wanted], [came], CLOSE["F32"])) if numeric else f"{where}: another type"
    if type(wanted) is not type(came):
        return f"{where}: another type"
    if isinstance(wanted, dict):
        if wanted.keys() != came.keys():
            return f"{where}: other keys"
        return next(filter(None, (compare_json(wanted[k], came[k], f"{where}.{k}") for k in wanted)), None)
    if isinstance(wanted, list):
        if len(wanted) != len(came):
            return f"{where}: {len(came)} entries, not {len(wanted)}"
        return next(filter(None, (compare_json(a, b, f"{where}[{i}]") for i, (a, b) in enumerate(zip(wanted, came)))), None)
    return None if wanted == came else f"{where}: {came!r}, not {wanted!r}"


def compare_archive(wanted, came):
    def entries(path):
        with zipfile.ZipFile(path) as archive:
            return {name: archive.read(name) for name in archive.namelist() if not name.endswith(NAMED_BY_CHANCE)}
    a, b = entries(wanted), entries(came)
    if a.keys() != b.keys():
        return "other entries"
    return next((f"{name} differs" for name in a if a[name] != b[name]), None)


def compare(wanted, came):
    """None if two files agree, else what differs."""
    if wanted.read_bytes() == came.read_bytes() or "/".join(wanted.parts[-2:]) in HOLD_ADDRESSES:
        return None
    if wanted.suffix == ".safetensors":
        return compare_safetensors(wanted, came)
    if wanted.suffix == ".json":
        return compare_json(json.loads(wanted.read_text()), json.loads(came.read_text()))
    if wanted.suffix == ".bin" and "expected" in wanted.name:
        return furthest(numbers_of("F32", wanted.read_bytes()), numbers_of("F32", came.read_bytes()), CLOSE["F32"])
    if zipfile.is_zipfile(wanted) and zipfile.is_zipfile(came):
        return compare_archive(wanted, came)
    return "other bytes"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", type=pathlib.Path, help="one that has everything")
    parser.add_argument("--work", type=pathlib.Path, default=HERE.parents[1] / "build" / "oracle-live")
    parser.add_argument("scripts", nargs="*", help="make_ops.py ...; all otherwise")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    python = options.python or make_environment(options.work)
    scripts = options.scripts or sorted(path.name for path in HERE.glob("make_*.py"))
    fresh = make_again(python, options.work.resolve(), scripts)
    stored, made = data_files(HERE), data_files(fresh)
    differences = [f"{name}: {apart}" for name in sorted(stored & made) if (apart := compare(HERE / name, fresh / name))]
    differences += [f"{name}: no such file is stored" for name in sorted(made - stored)]
    if not options.scripts:
        differences += [f"{name}: no script makes it" for name in sorted(stored - made)]
    same = sum((HERE / name).read_bytes() == (fresh / name).read_bytes() for name in stored & made)
    print(f"{len(made)} files made by {len(scripts)} scripts: {same} equal to the byte, {len(differences)} differ")
    print("\n".join(differences))
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
