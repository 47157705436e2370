# SPDX-License-Identifier: MIT
"""Shared by the scripts of this folder: writing the same bytes for the same tensors, and Mirilla's random numbers."""
import json
import struct

import numpy as np

DTYPES = {"float64": "F64", "float32": "F32", "float16": "F16", "uint8": "U8", "int64": "I64"}


def write_safetensors(path, tensors, metadata):
    """{name: numpy array} and {key: str} as a safetensors file. Unlike the safetensors package it keeps the given order; uint16 stands
    for the bits of BF16."""
    header, blobs, offset = {"__metadata__": metadata}, [], 0
    for name, array in sorted(tensors.items(), key=lambda item: -np.asarray(item[1]).itemsize):  # aligned; stable among equals
        array = np.asarray(array)
        data = array.astype(array.dtype.newbyteorder("<")).tobytes()
        dtype = "BF16" if array.dtype == np.uint16 else DTYPES[array.dtype.name]
        header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": [offset, offset + len(data)]}
        blobs.append(data)
        offset += len(data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(blobs))


def fnv1a64(data):
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return value


def philox4x32(counter, key):
    """kernels/core/philox.h on arrays: counter (4,n) and key (2) of uint32 values held in uint64."""
    low = np.uint64(0xFFFFFFFF)
    c0, c1, c2, c3 = (np.asarray(c, np.uint64) for c in counter)
    k0, k1 = (np.uint64(k) for k in key)
    for _ in range(10):
        a, b = np.uint64(0xD2511F53) * c0, np.uint64(0xCD9E8D57) * c2
        c0, c1, c2, c3 = (b >> np.uint64(32)) ^ c1 ^ k0, b & low, (a >> np.uint64(32)) ^ c3 ^ k1, a & low
        k0, k1 = (k0 + np.uint64(0x9E3779B9)) & low, (k1 + np.uint64(0xBB67AE85)) & low
    return np.stack([c0, c1, c2, c3], axis=-1)


def units(name, n):
    """n numbers in [0,1): to_unit of RandomKey{seed = FNV-1a-64 of the name, Purpose::kTest, step 0, item 0}.bits(0 .. n-1)."""
    seed = fnv1a64(name.encode())
    blocks = np.arange((n + 3) // 4, dtype=np.uint64)
    zero = np.zeros_like(blocks)
    words = philox4x32((blocks, zero, zero, zero + np.uint64(7)), (seed & 0xFFFFFFFF, seed >> 32)).reshape(-1)[:n]
    return (words >> np.uint64(8)).astype(np.float64) * 2.0**-24


def projections(name, array):
    """8 dot products of a tensor with directions of +1 and -1: element i counts as positive in the k-th where bit k of its Philox word, the
    one that units(name + ".directions") takes, is set in the upper 24 bits. The root mean square of the difference of two tensors'
    projections estimates the norm of the tensors' difference: every element contributes fully."""
    values = np.asarray(array, np.float64).reshape(-1)
    words = (units(name + ".directions", len(values)) * 2.0**24).astype(np.uint32)
    return np.array([np.where(words >> k & 1, values, -values).sum() for k in range(8)])


# Known answers of Random123's kat_vectors for philox4x32-10.
assert [hex(w) for w in philox4x32(([0], [0], [0], [0]), (0, 0))[0]] == ["0x6627e8d5", "0xe169c58d", "0xbc57ac4c", "0x9b00dbd8"]
assert [hex(w) for w in philox4x32(([0x243F6A88], [0x85A308D3], [0x13198A2E], [0x03707344]), (0xA4093822, 0x299F31D0))[0]] == [
    "0xd16cfe09", "0x94fdcceb", "0x5001e420", "0x24126ea1"]
