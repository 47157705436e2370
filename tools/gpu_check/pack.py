# SPDX-License-Identifier: MIT
"""The programs, built elsewhere and copied to the machine with the GPU, or built there."""
import json
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAMS = ("gpu_check", "test_cuda", "mirilla")
PACK_LIMIT = 40 << 20
# Part of every Linux; must not be mixed with another system's.
OF_THE_SYSTEM = re.compile(r"^(ld-linux.*|libc|libm|libdl|librt|libpthread|linux-vdso|libcuda)\.so")


def run(command, cwd=ROOT):
    subprocess.run(command, cwd=cwd, check=True)


def commit():
    """Of the tree; "unknown" where there is no git, or no history beside the sources."""
    try:
        done = subprocess.run(["git", "-C", ROOT, "describe", "--always", "--dirty"], text=True, capture_output=True)
    except OSError:
        return "unknown"
    return done.stdout.strip() if done.returncode == 0 else "unknown"


def libraries_of(program):
    text = subprocess.run(["ldd", program], text=True, capture_output=True, check=True).stdout
    found = dict(re.findall(r"^\s*(\S+) => (/\S+)", text, re.M))
    if missing := re.findall(r"^\s*(\S+) => not found", text, re.M):
        sys.exit(f"gpu-check: {program} needs {', '.join(missing)}, which is not installed here")
    return {name: path for name, path in found.items() if not OF_THE_SYSTEM.match(name)}


def wanted_glibc(files):
    versions = set()
    for file in files:
        text = subprocess.run(["objdump", "-T", file], text=True, capture_output=True, check=True).stdout
        versions.update(tuple(map(int, v.split("."))) for v in re.findall(r"GLIBC_(\d+\.\d+)", text))
    return ".".join(map(str, max(versions)))


def pack_sources(folder):
    """The committed tree, for building on the machine with the GPU."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    archive = subprocess.run(["git", "-C", ROOT, "archive", "HEAD"], check=True, capture_output=True).stdout
    subprocess.run(["tar", "-x", "-C", folder], input=archive, check=True)


def configure(build):
    launcher = [f"-DCMAKE_{language}_COMPILER_LAUNCHER=ccache" for language in ("CXX", "CUDA")] if shutil.which("ccache") else []
    run([ROOT / "tools/setup", "cuda"])  # the headers that a build with cuDNN needs
    run(["cmake", "-S", ".", "-B", build, "-G", "Ninja", "--log-level=WARNING", "-DCMAKE_BUILD_TYPE=Release", "-DMIRILLA_CUDA=ON",
         "-DMIRILLA_ONEDNN_MODE=off", "-DMIRILLA_BENCH=OFF", "-DMIRILLA_TEST_ROOMS=cuda;simt", "-DCMAKE_BUILD_RPATH=$ORIGIN/../lib",
         "-DCMAKE_EXE_LINKER_FLAGS=-Wl,--disable-new-dtags", *launcher])  # so that libraries find libraries there too


def built(build, emulated):
    """The folder with the programs of a pack. An emulated build is taken as it is: its programs look for libraries in ../lib anyway."""
    if emulated:
        build = build or ROOT / "build/emulated"
        if not (build / "CMakeCache.txt").exists():
            run(["cmake", "--preset", "emulated", "-B", build, "--log-level=WARNING"])
    else:
        build = build or ROOT / "build/gpu"
        configure(build)
    run(["cmake", "--build", build, "--target", *(f"emulated_{name}" if emulated else name for name in PROGRAMS)])
    return build / ("bin/emulated" if emulated else "bin")


def pack(folder, build, emulated=False):
    programs = built(build, emulated)
    for part in ("bin", "lib"):
        shutil.rmtree(folder / part, ignore_errors=True)
        (folder / part).mkdir(parents=True)
    libraries = {}
    for name in PROGRAMS:
        libraries |= libraries_of(programs / name)
        run(["strip", "-o", folder / "bin" / name, programs / name])
    for name, path in libraries.items():
        shutil.copy(path, folder / "lib" / name)
    pack_sources(folder / "source")
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    glibc = wanted_glibc([f for f in files if f.parent.name in ("bin", "lib")])
    (folder / "pack.json").write_text(json.dumps({"commit": commit(), "glibc": glibc, "emulated": emulated}) + "\n")
    size = sum(f.stat().st_size for f in files)
    print(f"gpu-check: {folder}: {size / 2**20:.1f} MiB, for x86-64 Linux with glibc {glibc} or newer" + ("; emulated" if emulated else ""))
    if size > PACK_LIMIT and not emulated:  # which goes nowhere, and may have the host's libraries in it
        sys.exit(f"gpu-check: the pack should stay under {PACK_LIMIT >> 20} MiB")


def starts(folder):
    program = folder / "gpu_check"
    return program.exists() and subprocess.run([program, "--help"], capture_output=True).returncode == 0


def find_programs(folder, mode, build=None):
    """Where the programs are, and a sentence about them."""
    note, given, build = "", build, build or ROOT / "build" / mode.preset
    if (folder / "pack.json").exists() and not given:
        made = json.loads((folder / "pack.json").read_text())
        if made.get("emulated", False) != mode.emulated:
            sys.exit(f"gpu-check: {folder} is a pack for {'the emulated GPU' if made.get('emulated') else 'a GPU'}; "
                     + ("--emulate --pack makes the other kind" if mode.emulated else "--emulate runs it"))
        note = f"pack of {made['commit']}"
        if starts(folder / "bin"):
            return folder / "bin", note + (f", while the tree is {commit()}" if commit() not in ("unknown", made["commit"]) else "")
        note = f"the {note} does not start here (it needs glibc {made['glibc']}); "
    if not starts(build / mode.folder):
        rooms = () if mode.emulated else ("-DMIRILLA_BENCH=OFF", "-DMIRILLA_TEST_ROOMS=cuda;simt")
        run(["cmake", "--preset", mode.preset, "-B", build, "--log-level=WARNING", *rooms])
        targets = {"cuda": PROGRAMS, "emulated": [f"emulated_{name}" for name in PROGRAMS]}.get(mode.preset, PROGRAMS[:1])
        run(["cmake", "--build", build, "--target", *targets])
    return build / mode.folder, note + "built here"
