#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks that the tests catch every mutant of the kernels.

    run.py PROGRAM MUTANTS.tsv EQUIVALENT.txt [--jobs N] [--only NUMBER...]

PROGRAM is test_mutants. Each mutant is run under the tests that reach it, the quick ones first, until one fails; a crash, a hang and a
failure all count. A mutant that survives must be in EQUIVALENT.txt with its reason, and one listed there must survive: under its quickest
tests or, with --thorough, under all that reach it. Exits 1 otherwise.
A line there: FILE <tab> KIND (<#2 is the second < of a line) <tab> PATTERN <tab> REASON; it covers the mutants of that kind on lines that the regular expression PATTERN
matches whole, in files that the glob FILE matches.
"""
import argparse
import collections
import concurrent.futures
import fnmatch
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

FIRST = 6  # tests tried before the rest
KILLERS = 3  # and before these: the last tests that caught another mutant of the same file
ENOUGH = 40  # for a mutant that is expected to survive


def run(program, tests, mutant, limit_s):
    """The test that caught the mutant, "" if it hung; None if all passed."""
    environment = dict(os.environ, MIRILLA_MUTANT=str(mutant), OMP_NUM_THREADS="1", OMP_WAIT_POLICY="passive")
    with tempfile.NamedTemporaryFile("w", suffix=".flags") as flags:
        flags.write("--gtest_filter=" + ":".join(tests) + "\n--gtest_fail_fast\n")
        flags.flush()
        try:
            done = subprocess.run([program, "--gtest_flagfile=" + flags.name], env=environment, timeout=limit_s, stdout=subprocess.PIPE,
                                  stderr=subprocess.DEVNULL)
        except subprocess.TimeoutExpired:
            return ""
    if done.returncode == 0:
        return None
    begun = re.findall(rb"^\[ RUN      \] (\S+)", done.stdout, re.M)  # the last one failed, or the program ended in it
    return begun[-1].decode() if begun else ""


def trace(program):
    """The tests that reach each mutant, quickest first."""
    with tempfile.TemporaryDirectory() as folder:
        file = os.path.join(folder, "trace")
        done = subprocess.run([program], env=dict(os.environ, MIRILLA_MUTANT_TRACE=file, OMP_WAIT_POLICY="passive"), stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)
        if done.returncode != 0:
            sys.exit("the tests fail without any mutant:\n" + done.stdout[-3000:])
        reaching, cost = collections.defaultdict(list), {}
        for line in open(file):
            test, milliseconds, mutants = line.rstrip("\n").split("\t")
            cost[test] = int(milliseconds)
            for mutant in mutants.split():
                reaching[int(mutant)].append(test)
    for tests in reaching.values():
        tests.sort(key=cost.get)
    return reaching, cost


def caught(program, mutant, tests, cost, killers):
    """Whether the tests catch the mutant. KILLERS of its file, the last one first, are tried first, and the list is kept."""
    first = [test for test in killers if test in tests][:KILLERS]
    rest = [test for test in tests if test not in first]
    for part in (first, rest[:FIRST], rest[FIRST:]):
        test = run(program, part, mutant, 20 + 0.02 * sum(cost[t] for t in part)) if part else None
        if test:
            if test in killers:
                killers.remove(test)
            killers.insert(0, test)
        if test is not None:
            return True
    return False


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("mutants", type=pathlib.Path)
    parser.add_argument("equivalent", type=pathlib.Path)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--only", type=int, nargs="*")
    parser.add_argument("--thorough", action="store_true")
    options = parser.parse_args()

    mutants = {}
    for line in options.mutants.read_text().splitlines():
        number, *rest = line.split("\t")
        mutants[int(number)] = tuple(rest)
    listed = []
    for line in options.equivalent.read_text().splitlines():
        if line and not line.startswith("#"):
            file, kind, pattern, _reason = line.split("\t")
            listed.append((file, kind, pattern))

    start = time.time()
    reaching, cost = trace(options.program)
    print(f"{len(cost)} tests reach {len(reaching)} of {len(mutants)} mutants; {time.time() - start:.0f} s")
    # A mutant that no test reaches is a comparison of floats, or code that no test runs: the coverage test reports the latter.
    chosen = [m for m in mutants if m in reaching and (not options.only or m in options.only)]

    def entries_of(mutant):
        file, _line, kind, text = mutants[mutant]
        return {e for e in listed if e[1] == kind and fnmatch.fnmatch(file, e[0]) and re.fullmatch(e[2], text)}

    killers = collections.defaultdict(list)  # of each file

    def dies(mutant):
        tests = reaching[mutant]
        few = tests[:ENOUGH] if entries_of(mutant) and not options.thorough else tests
        return caught(options.program, mutant, few, cost, killers[mutants[mutant][0]])

    alive = []
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for mutant, dead in zip(chosen, pool.map(dies, chosen)):
            if not dead:
                alive.append(mutant)
    used = set()
    wrong = 0
    for mutant in alive:
        file, line, kind, text = mutants[mutant]
        entries = entries_of(mutant)
        used |= entries
        if entries:
            continue
        wrong += 1
        print(f"NOT CAUGHT {mutant}: {file}:{line}: '{kind}' in: {text}")
    if not options.only:
        for entry in set(listed) - used:
            wrong += 1
            print(f"LISTED as equivalent, but caught or gone: {entry[0]}: '{entry[1]}' in: {entry[2]}")
    print(f"{len(chosen) - len(alive)} of {len(chosen)} mutants caught, {len(alive)} alive, {len(listed)} lines of equivalents; "
          f"{time.time() - start:.0f} s")
    sys.exit(1 if wrong else 0)


main()
