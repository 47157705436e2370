# SPDX-License-Identifier: MIT
"""Wrong accesses of our own kernels and races in them, found by compute-sanitizer; on the emulated GPU, by its own detectors."""
import re
import shutil

from gpu_check.stages import Failed, Unavailable

# Convolutions and products first: they are the kernels with most to get wrong, and time may run out.
PARTS = ("*Conv2d*/f16:*Matmul*/f16", "*/f16-*Conv2d*:*Matmul*")
EMULATED_PARTS = ("CudaConv2d.Equals*/f16:CudaConv2d.Goes*/f16:*Matmul*/f16", "*Relu*/f16:*MaxPool2d*/f16")  # seconds of one core
OUR_OWN = {"MIRILLA_REQUIRE": "cuda", "MIRILLA_VENDOR": "off"}  # NVIDIA's libraries are not ours to check, and would take all the time
REFUSED = r"Device not supported|LibraryNotLoaded|not permitted|Unable to find injection|not supported on this system"
FOUND = r"ERROR SUMMARY: [1-9]\d* error|========= (?:Invalid|Error: (?!process))|Race reported|hazards? detected \([1-9]|^emulated GPU: (?!counts)"
# The emulated GPU always checks where accesses go. What it should look for besides, in the place of each tool:
DETECTORS = {"memcheck": "unwritten,constant", "racecheck": "races"}


def runs_of(check):
    """{name: (the command before the program, environment)}"""
    if check.mode.emulated:
        return {name: ([], {"MIRILLA_EMULATE_DETECT": detectors}) for name, detectors in DETECTORS.items()}
    tool = shutil.which("compute-sanitizer") or shutil.which("/usr/local/cuda/bin/compute-sanitizer")
    if not tool:
        raise Unavailable("there is no compute-sanitizer")
    return {name: ([tool, "--tool", name, "--error-exitcode", "9"], {}) for name in DETECTORS}


def sanitize(check):
    report = {"by": "the emulated GPU's own detectors" if check.mode.emulated else "compute-sanitizer"}
    for name, (before, env) in runs_of(check).items():
        row = report[name] = {"tests": 0, "out_of_time": False}
        share = check.limit / len(DETECTORS) - 2
        end = check.left() - share
        for tests in EMULATED_PARTS if check.mode.emulated else PARTS:
            if row["out_of_time"] or check.left() - end < 2:
                row["out_of_time"] = True
                break
            code, text = check.call(*before, check.programs / "test_cuda", f"--gtest_filter={tests}", env=OUR_OWN | env,
                                    limit=check.left() - end)
            if re.search(REFUSED, text):
                raise Unavailable("this system does not allow compute-sanitizer to use the GPU")
            done = len(re.findall(r"^\[       OK \]", text, re.M))
            row["tests"] += done
            row["out_of_time"] = code is None
            found = re.search(FOUND, text, re.M)
            if found or code not in (0, None) or not done:
                raise Failed(f"{name}: {found[0] if found else 'out of time' if code is None else text.strip()[-200:]}", report)
    return report
