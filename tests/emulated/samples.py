#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""samples.py CUDA_SAMPLES [--build FOLDER] [--only NAME,...] [--out FOLDER]: builds programs of NVIDIA's cuda-samples with `tools/emulate
nvcc`, runs them, and prints a table: passed, failed, refused or not known (with the sentence), waived by the sample itself, and seconds of the
processor. They check their results themselves. CUDA_SAMPLES is a copy of https://github.com/NVIDIA/cuda-samples; nothing of it is in this
tree, so the checks do not run this.

An emulated GPU is some thousand times slower than a GPU, so a sample that takes the size of its problem gets a small one, and where it takes none,
constants in a copy of its source are made smaller: SMALLER."""
import argparse
import os
import pathlib
import re
import resource
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
SECONDS = 300
# name: arguments. The first thirty are those that docs/emulated-gpu.md promises.
SAMPLES = {
    "vectorAdd": [], "matrixMul": ["-wA=64", "-hA=64", "-wB=64", "-hB=64"], "asyncAPI": [], "simpleStreams": [], "simpleMultiCopy": [],
    "simplePrintf": [], "simpleTemplates": [], "simpleAtomicIntrinsics": [], "simpleVoteIntrinsics": [], "simpleCooperativeGroups": [],
    "simpleAWBarrier": [], "mergeSort": [], "reduction": ["--n=65536"], "scan": [], "shfl_scan": [], "histogram": [],
    "threadFenceReduction": ["--n=65536"], "sortingNetworks": [], "convolutionSeparable": [], "dct8x8": [], "inlinePTX": [],
    "streamOrderedAllocation": [], "globalToShmemAsyncCopy": ["-wA=128", "-hA=128", "-wB=128", "-hB=128"],
    "bf16TensorCoreGemm": [], "cudaTensorCoreGemm": [], "simpleCudaGraphs": [],
    "warpAggregatedAtomicsCG": [], "transpose": ["-dimX=256", "-dimY=256"], "fastWalshTransform": [], "scalarProd": [],
    "clock": [], "cudaOpenMP": [], "fp16ScalarProduct": [], "simpleAssert": [], "simpleAttributes": [], "simpleCallback": [],
    "simpleHyperQ": [], "simpleMultiGPU": [], "simpleOccupancy": [], "simpleZeroCopy": [], "systemWideAtomics": [], "template": [],
    "deviceQuery": [], "topologyQuery": [], "MC_EstimatePiInlineP": [], "eigenvalues": ["--matrix-size=256"],
    "interval": [], "reductionMultiBlockCG": ["--n=65536"],
    "StreamPriorities": [], "binaryPartitionCG": [], "dmmaTensorCoreGemm": [], "graphMemoryNodes": [], "immaTensorCoreGemm": [],
    "jacobiCudaGraphs": [], "newdelete": [], "tf32TensorCoreGemm": [], "BlackScholes": [], "FDTD3d": ["--dimx=32", "--dimy=32", "--dimz=32"],
    "MonteCarloMultiGPU": [], "SobolQRNG": [], "binomialOptions": [], "dwtHaar1D": [], "dxtc": [], "quasirandomGenerator": [],
    "LargeKernelParameter": [], "UnifiedMemoryPerf": [], "alignedTypes": [], "simpleTexture": [], "simplePitchLinearTexture": [],
    "simpleP2P": [], "simpleIPC": [], "cdpSimplePrint": [], "vectorAddDrv": [], "matrixMulCUBLAS": [], "streamOrderedAllocationP2P": [],
    "graphConditionalNodes": [], "radixSortThrust": ["-n=20000"], "segmentationTreeThrust": [], "lineOfSight": [],
}
TILES = [("#define M_TILES {}", "#define M_TILES 16"), ("#define N_TILES {}", "#define N_TILES 16"), ("#define K_TILES {}", "#define K_TILES 16"),
         ("#define CPU_DEBUG 0", "#define CPU_DEBUG 1")]  # compares with the host's product


def tiles(number):
    return [(before.format(number), after) for before, after in TILES]


# Constants of the source that are made smaller in a copy of the folder, where the sample takes no size.
SMALLER = {
    "simpleStreams": [("16 * 1024 * 1024", "256 * 1024")], "scan": [("13 * 1048576 / 2", "262144"), ("iCycles = 100", "iCycles = 1")],
    "histogram": [("64 * 1048576", "1048576"), ("numRuns    = 16", "numRuns    = 1")],
    "sortingNetworks": [("N             = 1048576", "N             = 16384")],
    "convolutionSeparable": [("= 3072", "= 384"), ("iterations = 16", "iterations = 1")],
    "fastWalshTransform": [("log2Data   = 23", "log2Data   = 14")],
    "simpleCudaGraphs": [("1 << 24", "1 << 18")], "dct8x8": [("BENCHMARK_SIZE 10", "BENCHMARK_SIZE 1")],
    "warpAggregatedAtomicsCG": [("10000000", "1000000")], "transpose": [("NUM_REPS 100", "NUM_REPS 1")],
    "bf16TensorCoreGemm": tiles(512), "tf32TensorCoreGemm": tiles(512), "cudaTensorCoreGemm": tiles(256), "immaTensorCoreGemm": tiles(256),
    "dmmaTensorCoreGemm": tiles(1024), "BlackScholes": [("4000000", "100000"), ("NUM_ITERATIONS = 512", "NUM_ITERATIONS = 1")],
    "quasirandomGenerator": [("N = 1048576", "N = 16384")], "mergeSort": [("4 * 1048576", "262144")],
}
TWO_GPUS = {"simpleMultiGPU", "simpleP2P", "topologyQuery", "streamOrderedAllocationP2P"}
REFUSED = re.compile(r"not emulated|machine code|kernels/emulate lacks|driver's interface")


def sources_of(folder):
    text = (folder / "CMakeLists.txt").read_text()
    found = re.search(r"add_executable\(\s*\w+\s+([^)]*)\)", text)
    names = found.group(1).split() if found else []
    return [folder / name for name in names if pathlib.Path(name).suffix in {".cu", ".cpp", ".c"}], text


def processor_seconds():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def smaller(folder, copy, constants):
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(folder, copy)
    texts = {path: path.read_text() for path in copy.iterdir() if path.suffix in {".cu", ".cuh", ".cpp", ".h"}}
    for before, after in constants:
        found = [path for path, text in texts.items() if before in text]
        if not found:
            sys.exit(f"samples.py: '{before}' was expected in {folder.name}, whose source has changed")
        for path in found:
            texts[path] = texts[path].replace(before, after)
    for path, text in texts.items():
        path.write_text(text)
    return copy


def run(command, folder, seconds, **variables):
    try:
        done = subprocess.run(list(map(str, command)), cwd=folder, capture_output=True, text=True, errors="replace", timeout=seconds,
                              env=os.environ | variables, check=False)
        return done.returncode, done.stdout + done.stderr
    except subprocess.TimeoutExpired as late:
        return None, (late.stdout or b"").decode(errors="replace") + f"\nlonger than {seconds} s"


def reason(text):
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    telling = [line for line in lines if re.search(r"^(emulated GPU|tools/emulate)|error|fail|Error|FAIL|differ|longer than|lacks", line)]
    return (telling or lines or ["no output"])[0][:150]


def try_sample(name, arguments, samples, build, out):
    folder = next(iter(samples.glob(f"Samples/[0-9]_*/{name}")), None)
    if not folder:
        return "missing", 0.0, 0.0, ""
    if name in SMALLER:
        folder = smaller(folder, out / "sources" / name, SMALLER[name])
    sources, cmake = sources_of(folder)
    program = out / name
    libraries = [f"-l{library}" for library in re.findall(r"CUDA::(\w+)", cmake.split("target_link_libraries", 1)[-1])
                 if library not in ("cudart", "toolkit")] if "target_link_libraries" in cmake else []
    libraries = ["-lcuda" if library == "-lcuda_driver" else library for library in libraries]
    openmp = ["-Xcompiler", "-fopenmp"] if "OpenMP" in cmake else []
    start = processor_seconds()
    code, text = run([ROOT / "tools" / "emulate", "--build", build, "nvcc", *sources, "-o", program, "-std=c++17", "--extended-lambda",
                      "-arch=compute_90", f"-I{samples}/Common", f"-I{folder}", f"-I{folder}/inc", *openmp, *libraries], folder, 600)
    compiled = processor_seconds() - start
    if code != 0:
        return ("refused" if REFUSED.search(text) else "not compiled"), compiled, 0.0, reason(text)
    start = processor_seconds()
    variables = {"MIRILLA_EMULATE": "h200,h200"} if name in TWO_GPUS else {}
    code, text = run([program, *arguments], folder, SECONDS, OMP_WAIT_POLICY="passive", **variables)
    (out / f"{name}.txt").write_text(text)
    seconds = processor_seconds() - start
    if REFUSED.search(text) and code == 1:
        return "refused", compiled, seconds, next(line for line in text.splitlines() if REFUSED.search(line))[:150]
    if "does not load" in text and "not known" in text:
        return "not known", compiled, seconds, re.search(r"PTX(.*)", text).group()[:150]
    failed = re.search(r"test failed|FAILED|Test failed|result = FAIL\b|emulated GPU: (?!\d)", text)
    if name == "simpleAssert":  # one assertion of it fails on purpose
        return ("passed" if code == 0 and "returned OK" in text else "failed"), compiled, seconds, ""
    if code == 2:  # EXIT_WAIVED of the samples
        return "waived", compiled, seconds, reason(text)
    if code != 0 or failed:
        return "failed", compiled, seconds, f"exit code {code}: {reason(text)}"
    return "passed", compiled, seconds, ""


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("samples", type=pathlib.Path)
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build" / "emulated")
    parser.add_argument("--only", default="")
    parser.add_argument("--out", type=pathlib.Path)
    options = parser.parse_args()
    kept = options.out or pathlib.Path(tempfile.mkdtemp(prefix="samples."))
    kept.mkdir(parents=True, exist_ok=True)
    wanted = options.only.split(",") if options.only else SAMPLES
    print(f"{'sample':28}{'':14}{'compiled':>9}{'ran':>9}   in seconds of the processor; outputs in {kept}", flush=True)
    counts = {}
    for name in wanted:
        result, compiled, seconds, why = try_sample(name, SAMPLES.get(name, []), options.samples.resolve(), options.build.resolve(), kept.resolve())
        counts[result] = counts.get(result, 0) + 1
        print(f"{name:28}{result:14}{compiled:9.1f}{seconds:9.1f}   {why}", flush=True)
    print(", ".join(f"{number} {result}" for result, number in sorted(counts.items())))
    return 0 if set(counts) <= {"passed", "refused", "not known", "waived"} else 1


if __name__ == "__main__":
    sys.exit(main())
