#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""ONNX models that `mirilla weights convert` writes compute in onnxruntime what Mirilla computes: logits within 1e-5 of the largest.

  python3 tests/onnx/onnx_test.py build/release/bin/mirilla        needs numpy and onnxruntime: tools/setup onnx fetches them into .deps/onnx

Random weights under torchvision's names, with fc and with fastai's head, in basic blocks and in bottlenecks; pictures of two shapes, batches of
one and three. Exits with 77 where onnxruntime is not at hand.
"""
import json, pathlib, struct, subprocess, sys, tempfile, zlib

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / ".deps/onnx"))
try:
    import numpy as np
    import onnxruntime
except ImportError as error:
    print(f"onnxruntime is not at hand ({error}): tools/setup onnx fetches it")
    sys.exit(77)

MEAN, STD = (np.array(x, np.float32).reshape(3, 1, 1) for x in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
CLASSES = 5
CLOSE = 1e-5


def write_safetensors(path, tensors):
    header, at = {}, 0
    for name, values in tensors.items():
        header[name] = {"dtype": "F32", "shape": list(values.shape), "data_offsets": [at, at + values.nbytes]}
        at += values.nbytes
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(v.tobytes() for v in tensors.values()))


def read_safetensors(path):
    raw = path.read_bytes()
    length = struct.unpack("<Q", raw[:8])[0]
    header = json.loads(raw[8:8 + length])
    kinds = {"F32": np.float32, "I64": np.int64, "U8": np.uint8}
    return {name: np.frombuffer(raw[8 + length:][slice(*one["data_offsets"])], kinds[one["dtype"]]).reshape(one["shape"])
            for name, one in header.items() if name != "__metadata__"}


def network(blocks, bottleneck, fastai, random):
    """Weights that keep activations of ordinary size, and statistics that a batch norm has something to do with."""
    tensors = {}

    def conv(name, out, into, kernel):
        tensors[name + ".weight"] = random.normal(0, (2 / (into * kernel * kernel)) ** 0.5, (out, into, kernel, kernel)).astype(np.float32)

    def norm(name, channels):
        tensors[name + ".weight"] = random.uniform(0.3, 1, channels).astype(np.float32)
        tensors[name + ".bias"] = random.normal(0, 0.2, channels).astype(np.float32)
        tensors[name + ".running_mean"] = random.normal(0, 0.2, channels).astype(np.float32)
        tensors[name + ".running_var"] = random.uniform(0.5, 2, channels).astype(np.float32)

    conv("conv1", 64, 3, 7)
    norm("bn1", 64)
    channels, expansion = 64, 4 if bottleneck else 1
    for layer, count in enumerate(blocks):
        width = 64 << layer
        for i in range(count):
            at, out = f"layer{layer + 1}.{i}", width * expansion
            shapes = [(width, channels, 1), (width, width, 3), (out, width, 1)] if bottleneck else [(width, channels, 3), (width, width, 3)]
            for k, shape in enumerate(shapes, 1):
                conv(f"{at}.conv{k}", *shape)
                norm(f"{at}.bn{k}", shape[0])
            if i == 0 and (layer > 0 or bottleneck):
                conv(f"{at}.downsample.0", out, channels, 1)
                norm(f"{at}.downsample.1", out)
            channels = out
    if fastai:
        norm("head.2", 2 * channels)
        norm("head.6", 512)
        for name, shape in (("head.4", (512, 2 * channels)), ("head.8", (CLASSES, 512))):
            tensors[name + ".weight"] = random.normal(0, shape[1] ** -0.5, shape).astype(np.float32)
    else:
        tensors["fc.weight"] = random.normal(0, channels ** -0.5, (CLASSES, channels)).astype(np.float32)
        tensors["fc.bias"] = random.normal(0, 1, CLASSES).astype(np.float32)
    return tensors


def write_png(path, pixels):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    height, width, _ = pixels.shape
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def run(*command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode not in (0, 1) or "mirilla:" in done.stderr:
        sys.exit(f"{' '.join(map(str, command))}: {done.stderr}")


def logits_of(model, pictures):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    assert session.get_inputs()[0].shape == ["batch", 3, "height", "width"], session.get_inputs()[0].shape
    return session.run(["logits"], {"pictures": pictures})[0]


def main():
    mirilla = pathlib.Path(sys.argv[1]).resolve()
    random, failed = np.random.default_rng(7), 0
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        photos = []
        for i in range(3):
            photos.append(folder / f"{i}.png")
            write_png(photos[-1], random.integers(0, 256, (80, 80, 3), dtype=np.uint8))
        for blocks, bottleneck, fastai in (((2, 2, 2, 2), False, False), ((2, 2, 2, 2), False, True), ((3, 4, 6, 3), True, False)):
            model, inside, outside, trace = (folder / n for n in ("m.safetensors", "inside.onnx", "outside.onnx", "trace.safetensors"))
            write_safetensors(model, network(blocks, bottleneck, fastai, random))
            run(mirilla, "weights", "convert", model, inside)
            run(mirilla, "weights", "convert", model, outside, "--normalised-input")
            for size, batch in ((64, photos), (80, photos[:1])):
                run(mirilla, "diff", model, model, *batch, "--resize", size, "--size", size, "--dump", trace)
                values = read_safetensors(trace)
                wanted, pictures = values["activation/head.8" if fastai else "activation/fc"], values["activation/input"]
                for target, given in ((outside, pictures), (inside, pictures * STD + MEAN)):
                    came = logits_of(target, given.astype(np.float32))
                    apart = np.abs(came - wanted).max() / np.abs(wanted).max()
                    print(f"{sum(blocks)} blocks, {'fastai' if fastai else 'fc'}, {target.stem}, {given.shape}: {apart:.1e}")
                    failed += not (came.shape == (len(batch), CLASSES) and apart <= CLOSE)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
