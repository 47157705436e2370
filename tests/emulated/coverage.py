#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""coverage.py [BUILD] [--all]: runs the tests of the kernels on an emulated H200 and fails where too little ran of what only a GPU build has:

- a kernel that was never launched;
- less than ENOUGH of all PTX instructions, or a stretch of them that no lane executed and that is not listed; --all shows the lines of all that
  never ran. Two kinds of stretches need no entry: jumps alone, and the long way of a division in 64 bits, which nvcc takes from 2^32 on;
- a line of kernels/cuda/platform/gpu*.cu that neither these tests nor those of the stand-in for CUDA's runtime ran.

What cannot run is listed in unreached.txt, between tabs: FILE LINE REASON, the line trimmed; FILE KERNEL REASON, a pattern in the name of a kernel
that is not launched; FILE KERNEL LINE REASON, where the kernels of that .cu file have stretches that begin at this line, of any file. One that is
listed and ran is an error too.
"""
import collections
import functools
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
LISTED = pathlib.Path(__file__).with_name("unreached.txt")
ENOUGH = 0.98
# A whole H200, with its 132 multiprocessors. Then one multiprocessor: what is chosen where there is much work, such as large tiles, is then
# chosen for little, and loops over the grid go round. Then the kernels whose indices have 64 bits, and those that serve cuDNN's plans.
ONE = {"MIRILLA_EMULATE_MULTIPROCESSORS": "1"}
RUNS = [("*", {}), ("*", ONE), ("*CudaConcat.*:*CudaConcatOfBytes.*:*CudaAdd.AddsABias*", ONE | {"MIRILLA_CUDA_INDEX_BITS": "64"}),
        ("*Conv*", ONE | {"MIRILLA_VENDOR": "on", "MIRILLA_PLAN_STORE": "off"})]

Instruction = collections.namedtuple("Instruction", "kernel number ptx_line places text")  # places: of the source, innermost first


def run(build, program, *arguments, **variables):
    command = [ROOT / "tools/emulate", "--build", build, program, "--gtest_brief=1", *arguments]
    environment = os.environ | {"MIRILLA_REQUIRE": "cuda", "MIRILLA_VENDOR": "off", "OMP_WAIT_POLICY": "passive"} | variables
    if subprocess.run(command, env=environment).returncode != 0:
        sys.exit(f"coverage: {program} fails")


@functools.cache
def lines_of(file):
    path = ROOT / file
    return path.read_text().splitlines() if path.exists() else []


def in_tree(file):
    """Below the tree: "kernels/cuda/relu.cu"; a header of CUDA keeps its path."""
    return "kernels/" + file.rpartition("/kernels/")[2] if "/kernels/" in file else file


def text_at(file, number):
    lines = lines_of(file)
    return lines[number - 1].strip() if 0 < number <= len(lines) else ""


def read(report):
    """({kernel: (file, instructions, ran)}, [Instruction that never ran])"""
    kernels, never, kernel = {}, [], None
    for line in report.read_text().splitlines():
        kind, *fields = line.split("\t")
        if kind == "kernel":
            name, file, count, ran = fields
            kernel = name, in_tree(file)
            kernels[kernel] = in_tree(file), int(count), int(ran)
        else:
            number, ptx_line, places, text = fields
            where = [place.rpartition(":") for place in places.split(",") if place]
            never.append(Instruction(kernel, int(number), int(ptx_line), tuple((in_tree(f), int(n)) for f, _, n in where), text))
    return kernels, never


def join(reports):
    """What no run ran."""
    kernels, never = reports[0]
    for others, other_never in reports[1:]:
        also = {one[:2] for one in other_never}
        never = [one for one in never if one[:2] in also]
        assert others.keys() == kernels.keys()
    left = collections.Counter(one.kernel for one in never)
    return {kernel: (file, count, count - left[kernel]) for kernel, (file, count, _) in kernels.items()}, never


def lines_never_run(build):
    """([(file, line number)] that never ran, the number of all lines) of the GPU's side of the platform."""
    counts = collections.Counter()
    for data in sorted((build / "tests/CMakeFiles/counted_gpu.dir").rglob("*.gcda")):
        report = subprocess.run(["gcov", "--json-format", "--stdout", data.name], cwd=data.parent, check=True, stdout=subprocess.PIPE,
                                stderr=subprocess.DEVNULL).stdout
        for file in json.loads(report)["files"]:
            if re.search(r"kernels/cuda/platform/gpu\w*\.cu$", file["file"]):
                for line in file["lines"]:
                    place = in_tree("/" + file["file"]), line["line_number"]
                    if re.search(r"\w", text_at(*place)):  # a brace is where an exception would be cleaned up
                        counts[place] += line["count"]
    if len({file for file, _ in counts}) < 3:
        sys.exit("coverage: gcov did not find the three files of kernels/cuda/platform; were they built as the target counted_gpu?")
    return [place for place, count in sorted(counts.items()) if count == 0], len(counts)


def stretches(kernels, never):
    """{(file of the kernel, kernel, place in this tree, number): [its instructions]} of what never ran in kernels that were launched: instructions
    that follow each other, at the place of the first. What nvcc writes without a line has that of the instruction before (coverage.h)."""
    found, place, last = collections.defaultdict(list), None, None
    for one in sorted(never, key=lambda one: one[:2]):
        if kernels[one.kernel][2] == 0:
            continue
        if last is None or one.kernel != last.kernel or one.number != last.number + 1:
            place = next((place for place in one.places if place[0].startswith("kernels/")), ("?", 0))
            some = found[one.kernel[1], one.kernel[0], place, one.number]
        some.append(one)
        last = one
    return found


def check_stretches(kernels, never, listed):
    """(entries that were used, the number of lines that are not listed)"""
    used, wrong = set(), collections.defaultdict(list)
    for (file, name, (where, number), _), some in stretches(kernels, never).items():
        if all(re.match(r"(@!?%p\d+ )?bra", one.text) for one in some) or \
                (len(some) <= 4 and any(re.match(r"(div|rem)\.[su]64", one.text) for one in some)):
            continue
        reasons = {one for one in listed if one[0] == file and re.search(one[1], name) and one[2] == text_at(where, number)}
        used |= reasons
        if not reasons:
            wrong[file, where, number].append((name, some))
    for (file, where, number), places in sorted(wrong.items()):
        name, some = places[0]
        print(f"NEVER RUN {file} {where}:{number}: {text_at(where, number)}\n  {sum(len(some) for _, some in places)} instructions in {len(places)} kernels, "
              f"such as PTX line {some[0].ptx_line}, {some[0].text} in {name[:150]}")
    return used, len(wrong)


def show(never):
    """The lines whose instructions never ran."""
    lines = collections.defaultdict(list)
    for one in never:
        lines[one.kernel[1], one.places[-1:]].append(one)
    for (file, places), instructions in sorted(lines.items(), key=lambda item: -len(item[1])):
        where, number = places[0] if places else ("?", 0)
        first = instructions[0]
        print(f"{len(instructions):6} instructions of {file} at {where}:{number}: {text_at(where, number)}\n       such as PTX line {first.ptx_line}, {first.text} "
              f"in {first.kernel[0][:150]}")


def main():
    every_line = "--all" in sys.argv
    build = pathlib.Path(next((one for one in sys.argv[1:] if one != "--all"), ROOT / "build/emulated")).resolve()
    for old in (build / "tests/CMakeFiles/counted_gpu.dir").rglob("*.gcda"):
        old.unlink()
    run(build, build / "bin/test_emulate", "--gtest_filter=Gpu*")
    with tempfile.TemporaryDirectory() as folder:
        reports = []
        for tests, variables in RUNS:
            reports.append(pathlib.Path(folder) / f"{len(reports)}.tsv")
            run(build, "test_cuda", f"--gtest_filter={tests}", MIRILLA_EMULATE_REPORT=f"coverage:{reports[-1]}", **variables)
        kernels, never = join([read(report) for report in reports])
    lines, line_count = lines_never_run(build)

    entries = {tuple(line.split("\t")[:-1]) for line in LISTED.read_text().splitlines() if line and not line.startswith("#")}
    listed = {one for one in entries if len(one) == 2}
    used, wrong = check_stretches(kernels, never, entries - listed)
    for (name, file), (_, _, ran) in kernels.items():
        reasons = {one for one in listed if one[0] == file and re.search(one[1], name)} if ran == 0 else set()
        used |= reasons
        if ran == 0 and not reasons:
            wrong += 1
            print(f"NEVER LAUNCHED {file}: {name}")
    for file, number in lines:
        used.add((file, text_at(file, number)))
        if (file, text_at(file, number)) not in listed:
            wrong += 1
            print(f"NEVER RUN {file}:{number}: {text_at(file, number)}")
    for one in sorted(entries - used):
        wrong += 1
        print(f"LISTED as unreached, but run or gone: {': '.join(one)}")
    if every_line:
        show(never)
    by_file = collections.defaultdict(lambda: [0, 0])
    for file, count, ran in kernels.values():
        by_file[file][0] += ran
        by_file[file][1] += count
    for file, (ran, count) in sorted(by_file.items()):
        print(f"{ran / count:7.1%} of {count:6} PTX instructions of {file}")
    share = sum(ran for ran, _ in by_file.values()) / sum(count for _, count in by_file.values())
    launched = sum(ran > 0 for _, _, ran in kernels.values())
    print(f"coverage: {launched} of {len(kernels)} kernels launched, {share:.2%} of their PTX instructions ran, {line_count - len(lines)} of {line_count} lines "
          f"of kernels/cuda/platform/gpu*.cu; {len(entries)} kernels and lines are listed as out of reach")
    sys.exit(1 if wrong or share < ENOUGH else 0)


if __name__ == "__main__":
    main()
