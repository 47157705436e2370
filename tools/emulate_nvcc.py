#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compiles a CUDA program for the emulated GPU (docs/emulated-gpu.md). Called as

  tools/emulate [--build FOLDER] nvcc FILE... -o PROGRAM [OPTION OF NVCC...]

nvcc compiles as usual, but to PTX only, uncompressed and with line numbers, and the program is linked with kernels/emulate in place of
CUDA's runtime. It then runs by itself (./PROGRAM), or as `tools/emulate --gpu a100 --detect races ./PROGRAM`. Without an option that names
an architecture there is PTX for sm_80, sm_90 and sm_120, so that each of the emulated GPUs has some.
"""
import concurrent.futures
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
VIRTUAL = (80, 90, 120)
SOURCES = {".cu", ".cpp", ".cc", ".cxx", ".c"}
LIBRARIES = ("emulate", "ptx")  # in the order of the linker
# nvcc's options whose value is the next word.
WITH_VALUE = {"-I", "-D", "-U", "-L", "-l", "-x", "-o", "-std", "-ccbin", "-include", "-isystem", "-Xcompiler", "-Xlinker", "-Xptxas", "-Xnvlink",
              "-Xcudafe", "-maxrregcount", "-arch", "-code", "-gencode", "-diag-suppress", "-diag-error", "-diag-warn", "-cudart", "-rdc", "-t", "-m",
              "--output-file", "--library", "--include-path", "--define-macro", "--std", "--compiler-options", "--linker-options", "--ptxas-options",
              "--generate-code", "--gpu-architecture", "--gpu-code", "--compiler-bindir", "--cudart", "--relocatable-device-code", "--threads",
              "--maxrregcount", "--pre-include", "--system-include", "--library-path"}
NAMES = {"-arch": "arch", "--gpu-architecture": "arch", "-gencode": "gencode", "--generate-code": "gencode", "-code": "code", "--gpu-code": "code",
         "-cudart": "cudart", "--cudart": "cudart", "-rdc": "rdc", "--relocatable-device-code": "rdc", "-o": "output", "--output-file": "output",
         "-l": "library", "--library": "library"}
# What else nvcc can make, and needs a GPU's machine code or its linker.
NO_PROGRAM = {"-dc", "--device-c", "-dlink", "--device-link", "-lib", "--lib", "-cubin", "--cubin", "-ptx", "--ptx", "-fatbin", "--fatbin", "-dw",
              "-run", "--run", "-cuda", "--cuda", "-E", "-M"}
DRIVER = "the driver API is not emulated, only the runtime's functions are"
MACHINE_CODE = "it is NVIDIA's library of machine code, and an emulated GPU runs PTX"
REFUSED_LIBRARIES = {"cuda": DRIVER, "cudadevrt": "dynamic parallelism is not emulated", "nvrtc": "compiling kernels at run time is not emulated"}
REFUSED_LIBRARIES |= {name: MACHINE_CODE for name in ("cublas", "cublasLt", "cudnn", "cufft", "cufftw", "curand", "cusolver", "cusparse", "nccl",
                                                      "nvjpeg", "nvJitLink", "nppc", "nppial", "nppicc", "nppidei", "nppif", "nppig", "nppim",
                                                      "nppist", "nppisu", "nppitc", "npps")}
GRAPHICS = {"GL": "graphics", "GLU": "graphics", "glut": "graphics", "GLEW": "graphics", "EGL": "graphics", "vulkan": "graphics"}
REFUSED_LIBRARIES |= {name: "graphics are not emulated" for name in GRAPHICS}
# Undefined functions, by how their names begin.
REFUSED_FUNCTIONS = [(r"nvrtc", "compiling kernels at run time is not emulated"), (r"(cublas|cufft|curand|cusolver|cusparse|cudnn|nccl|npp|nvjpeg)",
                     MACHINE_CODE), (r"cudaGraphicsGL|cudaGL|gl[A-Z]|glut|glew", "graphics are not emulated"),
                     (r"cuda\w+_pt(sz|ds)$", "--default-stream per-thread is not emulated"), (r"cuda|__cuda", "kernels/emulate lacks it"),
                     (r"cu[A-Z]", DRIVER)]


def stop(sentence, hint=None, code=1):
    print(f"tools/emulate nvcc: {sentence}" + (f"\n  hint: {hint}" if hint else ""), file=sys.stderr)
    sys.exit(code)


def find_nvcc():
    places = [os.environ.get("CUDACXX"), shutil.which("nvcc")]
    places += [f"{os.environ[name]}/bin/nvcc" for name in ("CUDA_HOME", "CUDA_PATH") if os.environ.get(name)]
    places += ["/usr/local/cuda/bin/nvcc", "/opt/cuda/bin/nvcc", ROOT / ".deps" / "cuda_toolkit" / "bin" / "nvcc"]
    for place in places:
        if place and os.access(place, os.X_OK):
            return str(place)
    stop("nvcc was not found", "tools/setup cuda fetches it, or install the CUDA toolkit, 12 or newer, and put nvcc into PATH")


def virtual(name):
    """sm_90a, compute_90 or lto_90: the PTX of the same architecture."""
    found = re.fullmatch(r"(?:sm|compute|lto)_(\d+[af]?)", name)
    if not found:
        stop(f"'{name}' is not an architecture such as sm_90")
    return found.group(1)


class Command:
    """nvcc's command line, without what the emulated GPU decides itself."""

    def __init__(self, words):
        self.sources, self.objects, self.options, self.libraries, self.architectures = [], [], [], [], []
        self.output, self.only_compile = "a.out", False
        words = list(words)
        while words:
            self.take(words)
        if not self.sources and not self.objects:
            stop("a source file was expected", "tools/emulate nvcc FILE.cu... -o PROGRAM", 2)
        if self.only_compile and len(self.sources) != 1:
            stop(f"-c takes one source file, and {len(self.sources)} came", code=2)

    def take(self, words):
        word = words.pop(0)
        name, equals, value = word.partition("=")
        short = re.match(r"-[IDUlLo](?=.)", word)
        if word in NO_PROGRAM:
            stop(f"{word} is not for an emulated GPU: this makes programs, and objects with -c")
        if word in ("-c", "--compile"):
            self.only_compile = True
        elif not word.startswith("-"):
            (self.sources if pathlib.Path(word).suffix in SOURCES else self.objects).append(word)
        elif short and not equals and word not in WITH_VALUE and not word.startswith(("-lineinfo", "-lto")):
            self.option(short.group(), word[2:], [word])
        elif not equals and name in WITH_VALUE:
            if not words:
                stop(f"{word} wants a value", code=2)
            self.option(name, words[0], [word, words.pop(0)])
        else:
            self.option(name, value, [word])

    def option(self, name, value, words):
        kind = NAMES.get(name)
        if kind == "arch":
            self.architectures += [] if value in ("native", "all", "all-major") else [virtual(value)]
        elif kind == "gencode":
            found = re.search(r"arch=(\w+)", value)
            self.architectures.append(virtual(found.group(1) if found else value))
        elif kind == "output":
            self.output = value
        elif kind == "library":
            self.library(value)
        elif kind == "rdc":
            if value == "true":
                print("tools/emulate nvcc: -rdc=true is left out: an emulated GPU loads each file's kernels by themselves", file=sys.stderr)
        elif kind not in ("code", "cudart"):  # the runtime and machine code are replaced
            self.options += words

    def library(self, name):
        if name in ("cudart", "cudart_static"):
            return
        if name in REFUSED_LIBRARIES:
            stop(f"the program wants lib{name}: {REFUSED_LIBRARIES[name]}")
        self.libraries.append(f"-l{name}")

    def flags(self):
        wanted = sorted(set(self.architectures), key=lambda name: int(re.match(r"\d+", name).group())) or VIRTUAL
        lines = [] if {"-G", "--device-debug", "-lineinfo", "--generate-line-info"} & set(self.options) else ["-lineinfo"]
        return [word for name in wanted for word in ("-gencode", f"arch=compute_{name},code=compute_{name}")] + ["--no-compress", *lines]


def find_libraries(build):
    """The static libraries of kernels/emulate; builds them where they are missing."""
    files = [build / "kernels" / f"libmirilla_{name}.a" for name in LIBRARIES]
    if all(file.exists() for file in files):
        return files
    if not shutil.which("cmake"):
        stop(f"{files[0]} is not there, and neither is cmake to build it", "tools/setup installs it")
    print(f"tools/emulate nvcc: building {files[0].relative_to(build)} first, which takes a few minutes", file=sys.stderr)
    steps = [["cmake", "--build", build, "--target", "mirilla_emulate", "--parallel", str(os.cpu_count())]]
    if not (build / "CMakeCache.txt").exists():
        steps.insert(0, ["cmake", "--preset", "emulated", "-B", build, "-DMIRILLA_TESTS=OFF"])
    for step in steps:
        done = subprocess.run(step, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode:
            print("\n".join(done.stdout.splitlines()[-20:]), file=sys.stderr)
            stop(f"{' '.join(map(str, step[:2]))} failed, so there is no library to link the program with")
    return files


def run(command):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def compile_all(command, nvcc, folder):
    launcher = shlex.split(os.environ.get("CMAKE_CUDA_COMPILER_LAUNCHER", ""))
    flags = [*command.flags(), *command.options]

    def one(numbered):
        number, source = numbered
        target = command.output if command.only_compile else folder / f"{number}_{pathlib.Path(source).stem}.o"
        return target, *run([*launcher, nvcc, *flags, "-c", source, "-o", target])

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(one, enumerate(command.sources)))
    for _, code, text in results:
        sys.stderr.write(text)
        if code and "separate compilation" in text:
            stop("a kernel that launches kernels was given: dynamic parallelism is not emulated")
        if code:
            sys.exit(1)
    return [target for target, _, _ in results]


def link(command, nvcc, objects, libraries):
    code, text = run([nvcc, "-cudart", "none", *command.flags()[:2], *objects, *command.objects, "-o", command.output, *link_options(command),
                      *libraries, *command.libraries, "-lfmt", "-lpthread", "-ldl"])
    missing = sorted(set(re.findall(r"undefined reference to `(\w+)'", text)))
    told = False
    for name in missing:
        why = next((why for begin, why in REFUSED_FUNCTIONS if re.match(begin, name)), None)
        if why:
            print(f"tools/emulate nvcc: the program calls {name}: {why}", file=sys.stderr)
            told = True
    if not told:
        sys.stderr.write(text)
    return 1 if code else 0


def link_options(command):
    """Those options of the command line that reach the linker."""
    kept, words = [], list(command.options)
    while words:
        word = words.pop(0)
        if word in ("-Xcompiler", "--compiler-options", "-Xlinker", "--linker-options", "-L", "--library-path", "-ccbin", "--compiler-bindir"):
            kept += [word, words.pop(0)]
        elif word.startswith(("-Xcompiler=", "-Xlinker=", "-L", "-ccbin=", "-m64")):
            kept.append(word)
    return kept


def main():
    build = pathlib.Path(sys.argv[1]).resolve()
    if not sys.argv[2:] or sys.argv[2] in ("--help", "-h"):
        print(__doc__.strip())
        return 0
    command = Command(sys.argv[2:])
    nvcc = find_nvcc()
    libraries = [] if command.only_compile else find_libraries(build)
    with tempfile.TemporaryDirectory() as folder:
        objects = compile_all(command, nvcc, pathlib.Path(folder))
        return 0 if command.only_compile else link(command, nvcc, objects, libraries)


if __name__ == "__main__":
    sys.exit(main())
