# SPDX-License-Identifier: MIT
"""Writes the weights files of tests/oracle/weights and their contents.

  python3 tests/oracle/make_weights.py            needs torch, safetensors, fastai; writes next to itself
  python3 tests/oracle/make_weights.py --check F  opens F, written by Mirilla, with Python's safetensors and prints names, shapes and sums

expected.json  {file: {name: {dtype, shape, hex of the dense little-endian bytes}}}
refused.json   {file: a part of the error message}
"""
import argparse, json, pathlib, struct, sys, zipfile
import numpy
import torch
from safetensors.torch import load_file, save_file

HERE = pathlib.Path(__file__).parent / "weights"
DTYPES = {torch.float32: "f32", torch.float64: "f64", torch.float16: "f16", torch.bfloat16: "bf16", torch.uint8: "u8", torch.int64: "i64"}
WIDENED = {torch.bool: torch.uint8, torch.int8: torch.int64, torch.int16: torch.int64, torch.int32: torch.int64, torch.uint16: torch.int64,
           torch.uint32: torch.int64, torch.float8_e4m3fn: torch.float32, torch.float8_e5m2: torch.float32}


def facts(tensors):
    """What our reader must give for these tensors, bit for bit."""
    out = {}
    for name, t in tensors.items():
        t = t.detach()
        t = t.to(WIDENED[t.dtype]) if t.dtype in WIDENED else t
        raw = t.contiguous().flatten().view(torch.uint8).numpy().tobytes() if t.numel() else b""
        out[name] = {"dtype": DTYPES[t.dtype], "shape": list(t.shape), "hex": raw.hex()}
    return out


def some(*shape, dtype=torch.float32):
    return torch.randn(*shape).to(dtype)


def special(dtype):
    return torch.tensor([0.0, -0.0, 1.0, -2.5, float("inf"), float("-inf"), float("nan"), torch.finfo(dtype).max, torch.finfo(dtype).tiny], dtype=dtype)


def good_files():
    """Yields (file, what is saved, the tensors expected, torch.save's options)."""
    plain = {"weight": some(2, 3), "scalar": torch.tensor(3.5), "empty": torch.zeros(0, 4), "größe": some(5)}
    yield "plain.pth", plain, plain, {}
    yield "protocol4.pth", plain, plain, {"pickle_protocol": 4}
    yield "protocol5.pth", plain, plain, {"pickle_protocol": 5}

    net = torch.nn.Sequential(torch.nn.Conv2d(2, 3, 3, bias=False), torch.nn.BatchNorm2d(3))
    yield "ordered.pth", net.state_dict(), net.state_dict(), {}

    base = torch.arange(12.0)
    shared = {"base": base, "view": base[3:9].view(2, 3), "same": base}
    yield "shared.pth", shared, shared, {}

    strided = {"transposed": some(3, 5).t(), "channels_last": some(2, 3, 4, 5).to(memory_format=torch.channels_last), "expanded": some(3, 1).expand(3, 4),
               "stepped": some(10)[1::3], "inner": some(4, 6)[1:3, 2:5], "permuted": some(2, 3, 4).permute(2, 0, 1)}
    yield "strided.pth", strided, strided, {}

    dtypes = {"f16": special(torch.float16), "bf16": special(torch.bfloat16), "f64": special(torch.float64), "f32": special(torch.float32),
              "i64": torch.tensor([0, -1, 2**63 - 1, -2**63]), "u8": torch.arange(256).to(torch.uint8), "i32": torch.tensor([-2**31, 2**31 - 1], dtype=torch.int32),
              "i16": torch.tensor([[-32768], [32767]], dtype=torch.int16), "i8": torch.tensor([-128, 127, 0], dtype=torch.int8).flip(0), "bool": torch.tensor([True, False, True])}
    yield "dtypes.pth", dtypes, dtypes, {}

    parameter = {"weight": torch.nn.Parameter(some(2, 2)), "plain": some(1)}
    yield "parameter.pth", parameter, parameter, {}

    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    net(some(1, 2, 5, 5)).sum().backward()
    optimizer.step()
    nested = {"epoch": 3, "state_dict": net.state_dict(), "optimizer": optimizer.state_dict(), "best": 0.5, "classes": {"a", "b"}, "seed": 2**70, "name": "x", "none": None}
    yield "nested.pth", nested, net.state_dict(), {}
    only = {"weights_of_it": net.state_dict(), "epoch": 1}
    yield "only_nested.pth", only, net.state_dict(), {}

    # What people keep beside their weights.
    beside = {"state_dict": plain, "args": argparse.Namespace(lr=0.1, model="resnet18", betas=(0.9, 0.99)), "folder": pathlib.PurePosixPath("runs/1"), "device": torch.device("cuda:0"),
              "dtype": torch.float16, "best": numpy.float64(0.913), "epoch": numpy.int64(4), "history": numpy.zeros(3)}
    yield "beside.pth", beside, plain, {}
    yield "beside_protocol4.pth", beside, plain, {"pickle_protocol": 4}
    averaged = {"weight": some(2, 3)}
    yield "averaged.pth", {"epoch": 2, "state_dict": {"weight": some(2, 3)}, "state_dict_ema": averaged}, averaged, {}
    yield "wrapped_twice.pth", {"epoch": 2, "model": {"net": averaged, "arch": "resnet18"}}, averaged, {}
    types = {"u16": torch.tensor([0, 1, 65535], dtype=torch.uint16), "u32": torch.tensor([[7, 2**32 - 1]], dtype=torch.uint32),
             "e4m3": torch.arange(256).to(torch.uint8).view(torch.float8_e4m3fn)[:127], "e5m2": torch.arange(256).to(torch.uint8).view(torch.float8_e5m2)[::3][:41]}
    yield "small_types.pth", types, types, {}
    tagged = torch.nn.Parameter(some(2, 2))
    tagged.origin = "a parameter with an attribute"
    yield "attribute.pth", {"weight": tagged}, {"weight": tagged}, {}

    legacy = {"_use_new_zipfile_serialization": False}
    yield "legacy.pth", plain, plain, legacy
    yield "legacy_kinds.pth", {"epoch": 3, "args": argparse.Namespace(lr=0.1), "state_dict": {**dtypes, **shared, **strided}}, {**dtypes, **shared, **strided}, legacy


def write_fastai(expected):
    """fastai's learn.save with its optimizer: {'model': ..., 'opt': ...}, the rates in fastcore's own list type."""
    from fastai.learner import save_model
    from fastai.optimizer import Adam
    net = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    optimizer = Adam([list(net[0].parameters()), list(net[1].parameters())], lr=1e-3)
    net(some(4, 3)).sum().backward()
    optimizer.step()
    save_model(HERE / "fastai.pth", net, optimizer)
    expected["fastai.pth"] = facts(net.state_dict())


# --- hand-written pickles


def text(s):
    raw = s.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def integer(i):
    if -2**31 <= i < 2**31:
        return b"J" + struct.pack("<i", i)
    raw = i.to_bytes((i.bit_length() + 8) // 8, "little", signed=True)
    return b"\x8a" + bytes([len(raw)]) + raw


def group(*parts):
    return b"(" + b"".join(parts) + b"t"


def glob(module, name):
    return f"c{module}\n{name}\n".encode()


def tensor(elements, offset, sizes, strides, kind="FloatStorage", key="0"):
    storage = group(text("storage"), glob("torch", kind), text(key), text("cpu"), integer(elements)) + b"Q"
    return glob("torch._utils", "_rebuild_tensor_v2") + group(storage, integer(offset), group(*map(integer, sizes)), group(*map(integer, strides)),
                                                                  b"\x89", glob("collections", "OrderedDict") + b")R") + b"R"


def state(value):
    return b"\x80\x02}" + text("w") + value + b"s."


def write_zip(name, pickle, storage=struct.pack("<8f", *range(8)), byteorder=b"little", compression=zipfile.ZIP_STORED, extra=()):
    with zipfile.ZipFile(HERE / name, "w", compression) as z:
        z.writestr(zipfile.ZipInfo("archive/data.pkl"), pickle, compression)
        z.writestr(zipfile.ZipInfo("archive/byteorder"), byteorder, compression)
        z.writestr(zipfile.ZipInfo("archive/data/0"), storage, compression)
        for entry, content in extra:
            z.writestr(zipfile.ZipInfo(entry), content, compression)


def bad_pickles():
    """Yields (file, pickle, a part of the sentence)."""
    call = text("echo harm") + b"\x85R"
    system = "was made to run 'os.system' when Python opens it; nothing of it was run"
    yield "os_system_global.pth", state(glob("os", "system") + call), system
    yield "os_system_stack_global.pth", b"\x80\x04}" + text("w") + text("os") + text("system") + b"\x93" + call + b"s.", system
    yield "os_system_inst.pth", state(b"(" + text("echo harm") + b"ios\nsystem\n"), system
    yield "os_system_obj.pth", state(b"(" + glob("posix", "system") + text("echo harm") + b"o"), "was made to run 'posix.system'"
    yield "os_system_popped.pth", state(glob("os", "system") + call + b"0" + tensor(8, 0, [8], [1])), system
    yield "eval.pth", state(glob("builtins", "eval") + call), "was made to run 'builtins.eval'"
    yield "getattr_chain.pth", state(glob("__builtin__", "getattr") + glob("torch", "hub") + text("load") + b"\x86R" + call), "was made to run '__builtin__.getattr'"
    yield "getattr_of_torch.pth", state(glob("torch", "load") + call), "was made to run 'torch.load'"
    yield "newobj.pth", state(glob("subprocess", "Popen") + b")\x81"), "was made to run 'subprocess.Popen'"
    yield "newobj_ex.pth", state(glob("operator", "methodcaller") + b")}\x92"), "was made to run 'operator.methodcaller'"
    yield "storage_called.pth", state(glob("torch", "FloatStorage") + integer(10) + b"\x85R"), "contains 0 dicts of tensors"
    yield "memo_far.pth", b"\x80\x02]r\xff\xff\xff\xff.", "more than it has opcodes"
    yield "build_on_tensor.pth", state(tensor(8, 0, [8], [1]) + b"}b"), "sets attributes of a tensor"
    yield "deep.pth", state(b"]" * 5000 + b"a" * 4999), "nests deeper"
    yield "huge_sizes.pth", state(tensor(8, 0, [2**40, 2**40], [2**40, 1])), "a product that fits"
    yield "huge_expanded.pth", state(tensor(8, 0, [2**40], [0])), "more memory than the file's size justifies"
    yield "huge_storage.pth", state(tensor(2**61, 0, [8], [1])), "the file keeps 32 bytes for it"
    yield "beyond_by_size.pth", state(tensor(8, 0, [9], [1])), "reaches outside its storage"
    yield "beyond_by_stride.pth", state(tensor(8, 0, [2, 2], [7, 1])), "reaches outside its storage"
    yield "beyond_by_offset.pth", state(tensor(8, 1, [8], [1])), "reaches outside its storage"
    yield "negative_offset.pth", state(tensor(8, -1, [2], [1])), "reaches outside its storage"
    yield "negative_stride.pth", state(tensor(8, 7, [2], [-1])), "reaches outside its storage"
    yield "stride_overflow.pth", state(tensor(8, 4, [5], [2**62])), "reaches outside its storage"
    yield "negative_size.pth", state(tensor(8, 0, [-1], [1])), "none negative"
    yield "rank_seven.pth", state(tensor(8, 0, [1] * 7, [1] * 7)), "6 at most"
    yield "strides_missing.pth", state(tensor(8, 0, [2, 2], [1])), "2 sizes and 1 strides"
    yield "big_integer_size.pth", state(tensor(8, 0, [2**70], [1])), "a number among its sizes"
    yield "no_such_storage.pth", state(tensor(8, 0, [8], [1], key="../../etc/passwd")), "has no entry"
    yield "underflow.pth", b"\x80\x02s.", "uses a value that does not exist"
    yield "unknown_memo.pth", b"\x80\x02h\x07.", "uses stored value 7"
    yield "unknown_opcode.pth", b"\x80\x02\xff.", "opcode 0xff"
    yield "odd_dict.pth", b"\x80\x02}(" + text("w") + b"u.", "a key without a value"
    yield "list.pth", b"\x80\x02].", "contains a list, expected a dict of named tensors"
    yield "no_tensors.pth", b"\x80\x02}" + text("epoch") + integer(3) + b"s.", "contains 0 dicts of tensors"
    yield "cut_pickle.pth", state(tensor(8, 0, [8], [1]))[:-30], "ends in the middle"


def write_refused(refused):
    for name, pickle, sentence in bad_pickles():
        write_zip(name, pickle)
        refused[name] = sentence
    good = state(tensor(8, 0, [8], [1]))
    write_zip("big_endian.pth", good, byteorder=b"big")
    refused["big_endian.pth"] = "byte order"
    write_zip("two_pickles.pth", good, extra=[("other/data.pkl", good)])
    refused["two_pickles.pth"] = "two data.pkl"
    write_zip("bomb.pth", state(tensor(2**22, 0, [2**22], [1])), storage=bytes(2**24), compression=zipfile.ZIP_DEFLATED)
    refused["bomb.pth"] = "more than its size justifies"
    two = b"\x80\x02}(" + b"".join(text(n) + b"}" + text("w") + tensor(8, 0, [8], [1]) + b"s" for n in ("generator", "critic")) + b"u."
    write_zip("two_models.pth", two)
    refused["two_models.pth"] = "contains 2 dicts of tensors: 'generator', 'critic'"
    with zipfile.ZipFile(HERE / "pictures.zip", "w") as z:
        z.writestr(zipfile.ZipInfo("train/sea/1.jpg"), b"no picture")
    refused["pictures.zip"] = "without data.pkl"
    torch.save(torch.nn.Linear(2, 2), HERE / "whole_model.pth")
    refused["whole_model.pth"] = "holds a whole Python object of 'torch.nn.modules.linear.Linear'"
    torch.save(torch.nn.Linear(2, 2), HERE / "legacy_whole_model.pth", _use_new_zipfile_serialization=False)
    refused["legacy_whole_model.pth"] = "holds a whole Python object of 'torch.nn.modules.linear.Linear'"
    torch.save({"model": torch.nn.Linear(2, 2), "epoch": 2}, HERE / "whole_model_inside.pth")
    refused["whole_model_inside.pth"] = "holds a whole Python object of 'torch.nn.modules.linear.Linear'"
    torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), HERE / "scripted.pth")
    refused["scripted.pth"] = "TorchScript"


def write_safetensors(expected):
    tensors = {"f32": some(2, 3), "f64": some(3, dtype=torch.float64), "f16": special(torch.float16), "bf16": special(torch.bfloat16), "u8": torch.arange(7).to(torch.uint8),
               "i64": torch.tensor(2**62), "empty": torch.zeros(0, 4), "größe \"1\"": some(1)}
    save_file(tensors, HERE / "python.safetensors", metadata={"arch": "resnet18\n\"ü\""})
    expected["python.safetensors"] = facts(tensors)
    small = {"bool": torch.tensor([True, False]), "i8": torch.tensor([-128, 127], dtype=torch.int8), "i16": torch.tensor([[-7]], dtype=torch.int16), "i32": torch.tensor(2**31 - 1, dtype=torch.int32),
             "u16": torch.tensor([65535], dtype=torch.uint16), "u32": torch.tensor([2**32 - 1], dtype=torch.uint32),
             "e4m3": torch.arange(127).to(torch.uint8).view(torch.float8_e4m3fn), "e5m2": torch.arange(128, 252).to(torch.uint8).view(torch.float8_e5m2)}
    save_file(small, HERE / "small_types.safetensors")
    expected["small_types.safetensors"] = facts(small)
    save_file({"b": torch.tensor([1.5]), "a": torch.tensor([7], dtype=torch.uint8)}, HERE / "tiny.safetensors")
    expected["tiny.safetensors"] = facts(load_file(HERE / "tiny.safetensors"))


def check(path):
    from safetensors import safe_open
    with safe_open(path, "pt") as f:
        print(f.metadata())
    for name, t in load_file(path).items():
        print(name, t.dtype, tuple(t.shape), t.double().sum().item())


def main():
    if sys.argv[1:2] == ["--check"]:
        return check(sys.argv[2])
    torch.manual_seed(0)
    HERE.mkdir(exist_ok=True)
    expected, refused = {}, {}
    for name, saved, tensors, options in good_files():
        torch.save(saved, HERE / name, **options)
        expected[name] = facts(tensors)
    with zipfile.ZipFile(HERE / "plain.pth") as source, zipfile.ZipFile(HERE / "deflated.pth", "w", zipfile.ZIP_DEFLATED) as target:
        for entry in source.namelist():
            target.writestr(zipfile.ZipInfo(entry), source.read(entry), zipfile.ZIP_DEFLATED)
    expected["deflated.pth"] = expected["plain.pth"]
    with zipfile.ZipFile(HERE / "plain.pth") as source, zipfile.ZipFile(HERE / "zip64.pth", "w") as target:
        for entry in source.namelist():
            with target.open(zipfile.ZipInfo(entry), "w", force_zip64=True) as copy:
                copy.write(source.read(entry))
    expected["zip64.pth"] = expected["plain.pth"]
    write_zip("complex.pth", b"\x80\x02}(" + text("w") + tensor(4, 0, [4], [1], "ComplexFloatStorage") + text("v") + tensor(8, 0, [8], [1]) + b"u.")
    expected["complex.pth"] = facts({"v": torch.arange(8.0)})
    write_fastai(expected)
    write_refused(refused)
    write_safetensors(expected)
    (HERE / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
    (HERE / "refused.json").write_text(json.dumps(refused, indent=1) + "\n")


main()
