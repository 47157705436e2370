#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks that every row of docs/parity.md turns red when the code is wrong in one named way.

    mutate.py [--row ID]... [--results FILE.jsonl] [--photos ZIP --weights PTH [--reference CSV --test-accuracy A...]]

The tree is copied to build/parity-mutants and built there. Then, one after another, each mutation of mutations/*.json is made in the copy,
the targets that depend on it are built, the tests of its row run, and the row must be red, or the program must fail before. Exits 1 if a
mutation leaves its row green, no longer fits the code, if a row has none, or if a row is red without any.
Rows on real photos are included if --photos and --weights (and --reference, for complete training runs) are given; otherwise they are named
and left out.
"""
import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

import rows

ROOT = pathlib.Path(__file__).resolve().parents[2]
WORK = ROOT / "build" / "parity-mutants"
TREE = WORK / "tree"
BUILD = TREE / "build" / "release"
PROGRAM = BUILD / "bin" / "test_parity"


def mutations():
    """All of them, in the order of their rows' sections."""
    out = []
    for path in sorted((ROOT / "tests" / "parity" / "mutations").glob("*.json")):
        out += json.loads(path.read_text())
    return out


def copy_tree():
    """The files that git tracks or would add; only changed ones are copied, so that the copy rebuilds as little as possible."""
    listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, check=True, stdout=subprocess.PIPE)
    for name in filter(None, listed.stdout.decode().split("\0")):
        source, target = ROOT / name, TREE / name
        if not source.is_file() or (target.exists() and target.read_bytes() == source.read_bytes()):
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        shutil.copymode(source, target)
    if (ROOT / ".deps").exists() and not (TREE / ".deps").exists():
        (TREE / ".deps").symlink_to(ROOT / ".deps")


def build():
    """Whether the copy builds."""
    done = subprocess.run(["cmake", "--build", BUILD, "--target", "test_parity", "mirilla"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True)
    if done.returncode:
        print(done.stdout[-2000:], file=sys.stderr)
    return done.returncode == 0


def run_tests(tests, limit_s=600):
    """The rows that these tests report (all tests if none are given)."""
    file = WORK / "rows.jsonl"
    file.unlink(missing_ok=True)
    command = [PROGRAM] + (["--gtest_filter=" + ":".join(tests)] if tests else [])
    environment = dict(os.environ, MIRILLA_PARITY_ROWS=str(file), OMP_WAIT_POLICY="passive")
    try:
        subprocess.run(command, env=environment, timeout=limit_s, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        pass
    return rows.read(file) if file.exists() else {}


def script_for(id, options):
    """The command that measures a row on real photos; None if its arguments were not given."""
    if not options.photos:
        return None
    photos = ["--photos", options.photos.resolve(), "--weights", options.weights.resolve()]
    if not id.startswith("statistics."):
        return ["photos.py", "--only", id, *photos]
    whole = [] if id.endswith(("-final", "-test")) else ["--epochs", "1"]  # one seed, and only as many epochs as needed to show a mistake
    accuracy = ["--test-accuracy", *options.test_accuracy] if options.test_accuracy else []
    return ["trainings.py", "--seeds", "1", *whole, "--reference", options.reference.resolve(), *accuracy, *photos] if options.reference else None


def run_script(command):
    """The rows that photos.py or trainings.py report."""
    file = WORK / "rows.jsonl"
    file.unlink(missing_ok=True)
    subprocess.run([sys.executable, ROOT / "tests" / "parity" / command[0], *command[1:], "--program", BUILD / "bin" / "mirilla", "--rows", file],
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=WORK)
    return rows.read(file) if file.exists() else {}


def try_mutation(mutation, baseline, options):
    """The outcome: "red", or what is wrong."""
    path = TREE / mutation["file"]
    text = path.read_text()
    if text.count(mutation["from"]) != 1:
        return f"stands {text.count(mutation['from'])} times in {mutation['file']}, not once"
    try:
        path.write_text(text.replace(mutation["from"], mutation["to"]))
        if not build():
            return "does not build"
        known = baseline.get(mutation["row"])
        found = run_tests([known["test"]]) if known else run_script(script_for(mutation["row"], options))
        row = found.get(mutation["row"])
        return "red" if row is None or not row["green"] else f"GREEN: {row['measured']:.3g} of {row['tolerance']:.3g} {row['unit']}"
    finally:
        path.write_text(text)


def prepare():
    WORK.mkdir(parents=True, exist_ok=True)
    copy_tree()
    subprocess.run(["cmake", "--preset", "release", "-DMIRILLA_TESTS=ON", "-DMIRILLA_BENCH=OFF", "-DMIRILLA_TEST_ROOMS=parity",
                    "--log-level=WARNING"], cwd=TREE, check=True, stdout=subprocess.DEVNULL)
    if not build():
        sys.exit("the tree does not build without any mutation")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--row", action="append", help="only the mutations of this row; may be given several times")
    parser.add_argument("--results", help="a file that gets a line for each")
    for name in ("photos", "weights", "reference"):
        parser.add_argument("--" + name, type=pathlib.Path)
    parser.add_argument("--test-accuracy", nargs="*", default=[])
    options = parser.parse_args()
    prepare()
    baseline = run_tests([])
    failures = [f"{id}: red without any mutation" for id, row in baseline.items() if not row["green"]]
    wanted = [m for m in mutations() if not options.row or m["row"] in options.row]
    if not options.row:
        failures += [f"{id}: has no mutation" for id in baseline if id not in {m["row"] for m in wanted}]
    left_out = [m["row"] for m in wanted if m["row"] not in baseline and not script_for(m["row"], options)]
    for id in sorted({m["row"] for m in wanted} - baseline.keys() - set(left_out)):  # a script that cannot start would look like a red row
        row = run_script(script_for(id, options)).get(id)
        if not row or not row["green"]:
            failures.append(f"{id}: {'red' if row else 'not reported'} without any mutation")
            left_out.append(id)
    for mutation in wanted:
        if mutation["row"] in left_out:
            continue
        start = time.monotonic()
        outcome = try_mutation(mutation, baseline, options)
        print(f"{outcome:8} {mutation['row']}: {mutation['name']}  ({time.monotonic() - start:.0f} s)", flush=True)
        if outcome != "red":
            failures.append(f"{mutation['row']}: {mutation['name']}: {outcome}")
        if options.results:
            with open(options.results, "a") as file:
                file.write(json.dumps(dict(row=mutation["row"], name=mutation["name"], red=outcome == "red", commit=rows.commit())) + "\n")
    print(f"{sum(m['row'] not in left_out for m in wanted)} mutations, {len(failures)} failures")
    for id in sorted(set(left_out)):
        print(f"left out: {id}")
    for failure in failures:
        print(failure)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
