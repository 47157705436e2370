#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes tests/oracle/special/special.json with PyTorch: python tests/oracle/make_special.py [FOLDER]

The results of a NaN, an infinity, a -0, a subnormal and the largest number, in each operation of the table kernels/core/backend.h and in
each of its inputs. Needs torch 2.11 and numpy. One case per entry of "cases":

  op          the row of tests/kernels/special/rows.cpp that runs it, and its attributes
  exact       whether the operation selects or moves, or rounds once, so that the sign of a zero is defined
  tensors     [name, shape, kind, role, low, high] in the order of the row. kind: t is the float type of the run, f32, i64, u8 are
              themselves. role: in, out, inout. Values are low + (high - low) units("<op>.<name>") (oracle_file.py), rounded to their type,
              of u8 and i64 downwards; or the numbers themselves are in place of low and high
  specials    the names of the values that are tried
  runs        [into, at, want]: a special goes into the tensor of this number, at these elements. Where it is a subnormal all others there
              are 0; where it is "overflow" all are the largest
  want        for each special, in f32, or where they differ in f32, f16 and bf16: for each out or inout tensor the place of a string in
              "strings". Nothing where PyTorch has no such operation, and for "overflow", where its kernels differ with the order of their
              sums. The string has for each run of equal elements their count (no number: 1) and their class: n NaN, + inf, - -inf,
              f finite, and where the case is exact z 0 and Z -0; in brackets where PyTorch's kernels do not agree. For i64 and u8 it is
              the list of the numbers

In halves PyTorch computes twice: as Mirilla does, in f32 with one rounding at the end, and in half precision, where it has that. Tensors
have Mirilla's layouts.
"""
import functools
import json
import math
import re
import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from oracle_file import fnv1a64, philox4x32, units

TYPES = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16, "i64": torch.int64, "u8": torch.uint8}
NAN, INF = float("nan"), float("inf")


def special_value(name, dtype):
    info = torch.finfo(dtype)
    return {"nan": NAN, "inf": INF, "-inf": -INF, "-0": -0.0, "least": info.smallest_normal * info.eps, "subnormal": -info.smallest_normal * .375,
            "largest": info.max, "overflow": info.max}[name]


# Operations for which the sign of a zero is defined.
EXACT = {"add", "multiply", "scale", "relu", "relu_backward", "cast", "add_bias", "fill", "argmax", "max_pool2d", "adaptive_max_pool2d", "concat",
         "split", "transpose"}
SPECIALS = ["nan", "inf", "-inf", "-0", "least", "subnormal", "largest", "overflow"]


def nchw(x):
    return x.permute(0, 3, 1, 2)


def nhwc(x):
    return x.permute(0, 2, 3, 1).contiguous()


class Case:
    """tensors: (name, shape, kind, role, low, high or numbers). variants: functions from the tensors of role in and inout, by name, to the
    outputs in their order; several where PyTorch has several kernels. None: PyTorch has none."""

    def __init__(self, op, attributes, tensors, *variants, at=None, specials=SPECIALS, into=None):
        self.op, self.attributes, self.tensors, self.variants, self.at = op, attributes, tensors, variants, at
        self.specials, self.into = specials, into


def tensor(name, *shape, kind="t", role="in", low=-2., high=2., numbers=None):
    return name, list(shape), kind, role, low, high, numbers


def out(name, *shape, kind="t"):
    return tensor(name, *shape, kind=kind, role="out")


def elementwise():
    for n in 37, 64:
        yield Case("add", {}, [tensor("a", n), tensor("b", n), out("y", n)], lambda t: [t["a"] + t["b"]])
        yield Case("multiply", {}, [tensor("a", n), tensor("b", n), out("y", n)], lambda t: [t["a"] * t["b"]])
        yield Case("multiply", {}, [tensor("a", n), tensor("b", 1), out("y", n)], lambda t: [t["a"] * t["b"]])
        yield Case("multiply", {}, [tensor("a", n, kind="f32"), tensor("b", 1, kind="f32"), out("y", n)], lambda t: [t["a"] * t["b"]])
        yield Case("scale", {"factor": -.75}, [tensor("x", n), out("y", n)], lambda t: [t["x"] * -.75])
        yield Case("relu", {}, [tensor("x", n), out("y", n)], lambda t: [t["x"].relu()], lambda t: [t["x"].clamp(min=0)])
        yield Case("relu_backward", {}, [tensor("dy", n), tensor("y", n), out("dx", n)],
                   lambda t: [torch.ops.aten.threshold_backward(t["dy"], t["y"], 0)])
        yield Case("dropout", {"seed": 5, "p": .5}, [tensor("x", n), out("y", n)], lambda t: [t["x"] * (kept(5, n, .5).to(t["x"].dtype) / .5)])
        for to in "f32", "f16", "bf16", "u8", "i64":
            if to == "u8" or to == "i64":  # PyTorch does not define the result for values that are not finite or too large
                yield Case("cast", {}, [tensor("x", n, low=0.), out("y", n, kind=to)], specials=["nan", "inf", "-inf", "largest"])
                yield Case("cast", {}, [tensor("x", n, low=0.), out("y", n, kind=to)], lambda t, to=to: [t["x"].to(TYPES[to])],
                           specials=["-0", "least", "subnormal"])
            else:
                yield Case("cast", {}, [tensor("x", n), out("y", n, kind=to)], lambda t, to=to: [t["x"].to(TYPES[to])])
        yield Case("add_bias", {}, [tensor("x", 5, n), tensor("bias", n), out("y", 5, n)], lambda t: [t["x"] + t["bias"]])
        yield Case("add_bias", {}, [tensor("x", 5, n), tensor("bias", n, kind="f32"), out("y", 5, n)], lambda t: [t["x"] + t["bias"]])
    for name in SPECIALS[:-1]:
        yield Case("fill", {"value": name}, [out("y", 37)], lambda t, name=name: [torch.full((37,), special_value(name, torch.float32))],
                   specials=["none"])
        yield Case("scale", {"factor": name}, [tensor("x", 37), out("y", 37)], lambda t, name=name: [t["x"] * special_value(name, torch.float32)],
                   specials=["none"])


def kept(seed, n, p):
    """Whether dropout keeps an element: Philox of the seed, as in kernels/core/philox.h, purpose kTest."""
    import numpy as np
    blocks = np.arange((n + 3) // 4, dtype=np.uint64)
    zero = np.zeros_like(blocks)
    words = philox4x32((blocks, zero, zero, zero + np.uint64(7)), (seed, 0)).reshape(-1)[:n]
    return torch.tensor(((words >> np.uint64(8)).astype(np.float64) * 2.**-24 >= p).tolist())


def reductions():
    for rows, channels in (7, 5), (3, 48):
        x = tensor("x", rows, channels)
        for kind in "t", "f32":
            yield Case("sum", {}, [x, out("y", kind=kind)], lambda t: [t["x"].sum()])
            yield Case("sum_rows", {}, [x, out("y", channels, kind=kind)], lambda t: [t["x"].sum(0)])
        yield Case("argmax", {}, [x, out("y", rows, kind="i64")], lambda t: [t["x"].argmax(1)])
        yield Case("argmax", {}, [x, out("y", rows, kind="i64")], lambda t: [t["x"].argmax(1)], at=[1, 3, 4])
        yield Case("softmax", {}, [x, out("y", rows, channels)], lambda t: [t["x"].softmax(1)])
        targets = [i * 3 % channels for i in range(rows)]
        for at in [1], [0], list(range(channels)):
            yield Case("cross_entropy", {}, [x, tensor("targets", rows, kind="i64", numbers=targets), out("losses", rows, kind="f32"),
                                             out("dlogits", rows, channels, kind="f32")], cross_entropy, at=at)


def cross_entropy(t):
    logits = t["x"].float().clone().requires_grad_()
    losses = F.cross_entropy(logits, t["targets"], reduction="none")
    losses.mean().backward()
    return [losses.detach(), logits.grad]


def products():
    for m, n, k in (3, 5, 7), (16, 64, 32), (1, 6, 9):
        for ta in False, True:
            for tb in False, True:
                a, b = tensor("a", *((k, m) if ta else (m, k))), tensor("b", *((n, k) if tb else (k, n)))
                yield Case("matmul", {"transpose_a": ta, "transpose_b": tb}, [a, b, out("y", m, n)],
                           lambda t, ta=ta, tb=tb: [(t["a"].t() if ta else t["a"]) @ (t["b"].t() if tb else t["b"])])


# n, h, w, in, out, kernel, stride, padding: without and with vectors of channels, 1x1, 3x3, strides, a stem.
CONVOLUTIONS = [(1, 5, 4, 3, 5, 3, 1, 1), (2, 3, 3, 8, 16, 1, 1, 0), (1, 5, 5, 16, 8, 3, 2, 1), (1, 4, 4, 16, 16, 3, 1, 1),
                (1, 4, 4, 8, 8, 1, 2, 0), (1, 9, 9, 3, 8, 7, 2, 3)]


def in_formats(run):
    """PyTorch's convolutions for both memory formats."""
    def channels_last(t):
        return run({name: x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x for name, x in t.items()})

    def native(t):
        with torch.backends.mkldnn.flags(enabled=False):
            return run({name: x.contiguous() for name, x in t.items()})
    return [lambda t: run({name: x.contiguous() for name, x in t.items()}), channels_last, native]


def in_nchw(f):
    return lambda t: f({name: nchw(x) if x.dim() == 4 else x for name, x in t.items()})


def convolutions():
    for n, h, w, c, k, r, stride, padding in CONVOLUTIONS:
        p, q = (h + 2 * padding - r) // stride + 1, (w + 2 * padding - r) // stride + 1
        attributes = {"stride": stride, "padding": padding}
        x, weights, y = tensor("x", n, h, w, c), tensor("w", k, r, r, c), [n, p, q, k]

        def forward(t, stride=stride, padding=padding, relu=False):
            result = F.conv2d(t["x"], t["w"], t.get("bias", None).to(t["x"].dtype) if "bias" in t else None, stride, padding)
            result = result + t["residual"] if "residual" in t else result
            return [nhwc(result.relu() if relu else result)]

        bias, residual = tensor("bias", k, kind="f32"), tensor("residual", *y)
        for extra in [], [bias]:
            yield Case("conv2d", attributes, [x, weights, *extra, out("y", *y)], *map(in_nchw, in_formats(forward)))
        for extra in [bias], [bias, residual]:
            for relu in False, True:
                run = lambda t, forward=forward, relu=relu: forward(t, relu=relu)
                yield Case("conv2d_bias_add_relu", attributes | {"relu": relu}, [x, weights, *extra, out("y", *y)],
                           *map(in_nchw, in_formats(run)))

        def backward(t, which, stride=stride, padding=padding, x_shape=(n, c, h, w), w_shape=(k, c, r, r)):
            some = next(iter(t.values()))
            inputs = t.get("x", torch.zeros(x_shape, dtype=some.dtype)), t.get("w", torch.zeros(w_shape, dtype=some.dtype))
            fmt = torch.channels_last if t["dy"].is_contiguous(memory_format=torch.channels_last) else torch.contiguous_format
            inputs = [i.contiguous(memory_format=fmt) for i in inputs]
            grads = torch.ops.aten.convolution_backward(t["dy"], *inputs, None, [stride] * 2, [padding] * 2, [1, 1], False, [0, 0], 1,
                                                        [which == "x", which == "w", False])
            return [nhwc(grads[0] if which == "x" else grads[1])]

        yield Case("conv2d_backward_data", attributes, [tensor("dy", *y), weights, out("dx", n, h, w, c)],
                   *map(in_nchw, in_formats(lambda t, f=backward: f(t, "x"))))
        yield Case("conv2d_backward_weight", attributes, [x, tensor("dy", *y), out("dw", k, r, r, c)],
                   *map(in_nchw, in_formats(lambda t, f=backward: f(t, "w"))))


def batch_norm():
    for n, h, w, c in (2, 3, 2, 5), (1, 3, 3, 16):
        shape = [n, h, w, c]
        f32 = lambda name, low=-2., role="in": tensor(name, c, kind="f32", low=low, role=role)
        x, state = tensor("x", *shape), [f32("mean"), f32("inv_std", .5), f32("weight"), f32("bias")]

        def statistics(t, fmt):
            mean, var = t["running_mean"].clone(), t["running_var"].clone()
            _, found, inv_std = torch.native_batch_norm(nchw(t["x"].float()).contiguous(memory_format=fmt), None, None, mean, var, True, .1, 1e-5)
            return [mean, var, found, inv_std]

        yield Case("batch_norm_statistics", {}, [x, f32("running_mean", role="inout"), f32("running_var", .5, "inout"),
                                                 out("mean", c, kind="f32"), out("inv_std", c, kind="f32")],
                   lambda t: statistics(t, torch.contiguous_format), lambda t: statistics(t, torch.channels_last))

        def apply(t, relu, watched, folded):
            s = {name: value.float() for name, value in t.items()}
            if folded:  # PyTorch's kernel for a CPU, from the reciprocal of inv_std's square
                y = nhwc(torch.native_batch_norm(nchw(s["x"]), s["weight"], s["bias"], s["mean"], 1 / (s["inv_std"] * s["inv_std"]), False, 0., 0.)[0])
            else:  # and its kernel for a GPU
                y = (s["x"] - s["mean"]) * s["inv_std"] * s["weight"] + s["bias"]
            normalized = y
            y = y + s["residual"] if "residual" in s else y
            y = y.relu() if relu else y
            return [y, normalized] if watched else [y]

        for residual in [], [tensor("residual", *shape)]:
            for relu, watched in (False, False), (True, False), (True, True):
                if residual and not relu:
                    continue
                outs = [out("y", *shape)] + ([out("normalized", *shape)] if watched else [])
                yield Case("batch_norm_apply", {"relu": relu, "watched": watched}, [x, *state, *residual, *outs],
                           lambda t, relu=relu, watched=watched: apply(t, relu, watched, True),
                           lambda t, relu=relu, watched=watched: apply(t, relu, watched, False))

        def backward(t, relu, training):
            s = {name: value.float() for name, value in t.items()}
            dy = torch.ops.aten.threshold_backward(s["dy"], s["y"], 0) if relu else s["dy"]
            var = 1 / (s["inv_std"] * s["inv_std"])
            grads = torch.ops.aten.native_batch_norm_backward(nchw(dy), nchw(s["x"]), s["weight"], s["mean"], var, s["mean"], s["inv_std"],
                                                              training, 0., [True] * 3)
            return [nhwc(grads[0]), *([dy] if relu else []), grads[1], grads[2]]

        def in_evaluation(t, relu):
            s = {name: value.float() for name, value in t.items()}
            dy = torch.ops.aten.threshold_backward(s["dy"], s["y"], 0) if relu else s["dy"]
            sums = (dy * (s["x"] - s["mean"])).sum((0, 1, 2)) * s["inv_std"], dy.sum((0, 1, 2))
            return [dy * (s["inv_std"] * s["weight"]), *([dy] if relu else []), *sums]

        for relu in False, True:
            for training in True, False:
                y = [tensor("y", *shape)] if relu else []
                outs = [out("dx", *shape), *([out("dresidual", *shape)] if relu else []), out("dweight", c, kind="f32"), out("dbias", c, kind="f32")]
                variants = [lambda t, relu=relu, training=training: backward(t, relu, training)]
                if not training:  # its kernel needs a variance, which a negative inv_std does not have
                    variants = [lambda t, relu=relu: in_evaluation(t, relu)]
                yield Case("batch_norm_backward", {"relu": relu, "training": training}, [tensor("dy", *shape), x, *state[:3], *y, *outs],
                           *variants)


def pools():
    for n, h, w, c in (1, 5, 4, 3), (1, 4, 4, 16):
        x = tensor("x", n, h, w, c)
        for window, stride, padding in (3, 2, 1), (2, 2, 0):
            p, q = (h + 2 * padding - window) // stride + 1, (w + 2 * padding - window) // stride + 1

            def places(flat, w=w, window=window, stride=stride, padding=padding):
                flat = nhwc(flat)
                top = torch.arange(flat.shape[1]).view(1, -1, 1, 1) * stride - padding
                left = torch.arange(flat.shape[2]).view(1, 1, -1, 1) * stride - padding
                return ((flat // w - top) * window + (flat % w - left)).to(torch.uint8)

            def forward(t, window=window, stride=stride, padding=padding, places=places):
                y, flat = F.max_pool2d(nchw(t["x"]), window, stride, padding, return_indices=True)
                return [nhwc(y), places(flat)]

            attributes, y = {"window": window, "stride": stride, "padding": padding}, [n, p, q, c]
            # alone, several in a window, all of a channel
            for at in None, [0, c, c * w, c * (w + 1)], list(range(0, n * h * w * c, c)):
                yield Case("max_pool2d", attributes, [x, out("y", *y), out("index", *y, kind="u8")], forward, at=at)
            healthy = base("max_pool2d", x)
            flat = F.max_pool2d(nchw(healthy), window, stride, padding, return_indices=True)[1]
            index = tensor("index", *y, kind="u8", numbers=places(flat).flatten().tolist())

            def backward(t, window=window, stride=stride, padding=padding, flat=flat, shape=(n, h, w, c)):
                x = nchw(torch.zeros(shape, dtype=t["dy"].dtype))
                return [nhwc(torch.ops.aten.max_pool2d_with_indices_backward(nchw(t["dy"]), x, [window] * 2, [stride] * 2, [padding] * 2,
                                                                             [1, 1], False, flat))]
            yield Case("max_pool2d_backward", attributes, [tensor("dy", *y), index, out("dx", n, h, w, c)], backward)
        yield from adaptive(n, h, w, c)


def adaptive(n, h, w, c):
    for size in (1, 1), (2, 3):
        x, y = tensor("x", n, h, w, c), [n, *size, c]
        both = [n, *size, 2 * c]

        def average(t, size=size):
            return [nhwc(F.adaptive_avg_pool2d(nchw(t["x"]), size))]

        def largest(t, size=size):
            value, index = F.adaptive_max_pool2d(nchw(t["x"]), size, return_indices=True)
            return [nhwc(value), nhwc(index)]

        def concat(t, average=average, largest=largest):
            value, index = largest(t)
            return [torch.cat([value, average(t)[0]], 3), index]

        index = largest({"x": base("adaptive_max_pool2d", x)})[1]
        shape = (n, h, w, c)

        def average_backward(t, shape=shape):
            return [nhwc(torch.ops.aten._adaptive_avg_pool2d_backward(nchw(t["dy"]).contiguous(), nchw(torch.zeros(shape, dtype=t["dy"].dtype))))]

        def largest_backward(t, shape=shape):
            return [nhwc(torch.ops.aten.adaptive_max_pool2d_backward(nchw(t["dy"]).contiguous(), nchw(torch.zeros(shape, dtype=t["dy"].dtype)),
                                                                     nchw(t["index"]).contiguous()))]

        def concat_backward(t, c=c, a=average_backward, m=largest_backward):
            return [a({"dy": t["dy"][..., c:]})[0] + m({"dy": t["dy"][..., :c], "index": t["index"]})[0]]

        index = tensor("index", *y, kind="i64", numbers=index.flatten().tolist())
        yield Case("adaptive_avg_pool2d", {}, [x, out("y", *y)], average)
        yield Case("adaptive_avg_pool2d_backward", {}, [tensor("dy", *y), out("dx", *shape)], average_backward)
        for at in None, [0, c, c * w, c * (w + 1)], list(range(0, n * h * w * c, c)):
            yield Case("adaptive_max_pool2d", {}, [x, out("y", *y), out("index", *y, kind="i64")], largest, at=at)
            yield Case("adaptive_concat_pool2d", {}, [x, out("y", *both), out("index", *y, kind="i64")], concat, at=at)
        yield Case("adaptive_max_pool2d_backward", {}, [tensor("dy", *y), index, out("dx", *shape)], largest_backward)
        yield Case("adaptive_concat_pool2d_backward", {}, [tensor("dy", *both), index, out("dx", *shape)], concat_backward)


def moves():
    for c in 3, 16:
        yield Case("concat", {}, [tensor("a", 3, c), tensor("b", 3, 2 * c), out("y", 3, 3 * c)], lambda t: [torch.cat([t["a"], t["b"]], 1)])
        yield Case("split", {}, [tensor("y", 3, 3 * c), out("a", 3, c), out("b", 3, 2 * c)],
                   lambda t, c=c: [t["y"][:, :c], t["y"][:, c:]])
        yield Case("transpose", {}, [tensor("x", 2, 5, c), out("y", 2, c, 5)], lambda t: [t["x"].transpose(1, 2)])


def steps():
    state = lambda role: tensor("state", 4, kind="f32", role=role, low=.5, high=1.)
    for at in [0], [37]:
        yield Case("check_finite", {}, [tensor("gradient", 38), tensor("state", 4, kind="f32", role="inout", low=.5, high=1.)],
                   lambda t: [torch.stack([t["state"][0], t["state"][1], 1. - t["gradient"].isfinite().all().float(), t["state"][3]])], at=at,
                   into=[0])
    n = 37
    f32 = lambda name, role="in", low=-2.: tensor(name, n, kind="f32", role=role, low=low)

    def adam(t, lr=.01, wd=.1, beta1=.9, beta2=.99, eps=1e-5):  # fastai's, first step, gradients unscaled first
        p, m, v, g = t["p"].clone(), t["m"].clone(), t["v"].clone(), t["gradient"]
        if "state" in t:
            g = g * t["state"][1]
        p.mul_(1 - lr * wd)
        m.mul_(beta1).add_(g, alpha=1 - beta1)
        v.mul_(beta2).addcmul_(g, g, value=1 - beta2)
        p.addcdiv_(m, (v / (1 - beta2)).sqrt() + eps, value=-lr / (1 - beta1))
        return [p, m, v]

    parts = [f32("gradient"), f32("p", "inout"), f32("m", "inout"), f32("v", "inout", .1)]
    yield Case("adam", {}, parts, adam)
    yield Case("adam", {}, [*parts, tensor("state", 4, kind="f32", numbers=[2., .5, 0., 3.])], adam, at=[1], into=[4])
    for at in [0], [3]:
        yield Case("update_scale", {}, [tensor("state", 4, kind="f32", role="inout", numbers=[1024., 1 / 1024, 0., 3.])], at=at)
    # Left, top, width, height of the crop are whole numbers inside the picture; the rest is a map near the identity.
    row = [1., .1, .05, -.1, .9, 0., 1., 0., .02, 0., 1., 0., .01, 0., 1., 0., 5., 6., .2, 1.1]
    for element in range(20):
        yield Case("augment", {"lighting": element >= 18}, [tensor("pictures", 2, 7, 6, 3, kind="u8", low=0., high=256.),
                                                           tensor("parameters", 2, 20, kind="f32", numbers=row * 2), out("y", 2, 4, 3, 3)],
                   at=[20 + element], specials=["nan", "inf", "-inf"] if element < 18 else ["nan"])
    for c in 3, 16:
        def grad_cam(t):
            weights = t["gradient"].float().mean((1, 2))
            return [weights, (weights[:, None, None] * t["activation"].float()).sum(3)]
        yield Case("grad_cam", {}, [tensor("activation", 2, 3, 3, c), tensor("gradient", 2, 3, 3, c), out("weights", 2, c, kind="f32"),
                                    out("map", 2, 3, 3, kind="f32")], grad_cam)


def base(op, spec, dtype=torch.float32):
    """A tensor's normal values, in the type of the run or in its own."""
    name, shape, kind, _, low, high, numbers = spec
    dtype = dtype if kind == "t" else TYPES[kind]
    if numbers is not None:
        return torch.tensor(numbers, dtype=dtype).reshape(shape)
    values = torch.tensor(low + (high - low) * drawn(f"{op}.{name}", math.prod(shape)), dtype=torch.float64)
    return (values.to(torch.float32) if dtype.is_floating_point else values.floor()).to(dtype).reshape(shape)


drawn = functools.lru_cache(None)(units)


def with_special(x, special, at):
    value = special_value(special, x.dtype)
    x = torch.full_like(x, value) if special == "overflow" else torch.zeros_like(x) if special in ("least", "subnormal") else x.clone()
    x.view(-1)[at] = value
    return x


def classes(variants, exact):
    """The string for one output, of which each variant is a tensor."""
    if not variants[0].is_floating_point():
        assert all(torch.equal(v, variants[0]) for v in variants)
        return variants[0].flatten().tolist()
    def of(v):
        v = v.flatten()
        kinds = ["f"] * len(v)
        for i in torch.nonzero((v == 0) | ~v.isfinite()).flatten().tolist():
            e = v[i].item()
            kinds[i] = "n" if e != e else "+" if e == INF else "-" if e == -INF else "f" if not exact else "Z" if torch.signbit(v[i]) else "z"
        return kinds
    tokens = ["".join(sorted(set(each))) for each in zip(*(of(v) for v in variants))]
    tokens = [t if len(t) == 1 else f"[{t}]" for t in tokens]
    text = ""
    for match in re.finditer(r"(\[[^\]]*\]|.)\1*", "".join(tokens)):
        count = len(match[0]) // len(match[1])
        text += (str(count) if count > 1 else "") + match[1]
    return text


def want(case, special, into, at, dtype):
    if not case.variants or special == "overflow":
        return None
    given = {}
    for i, spec in enumerate(case.tensors):
        if spec[3] != "out":
            x = base(case.op, spec, dtype)
            given[spec[0]] = with_special(x, special, at) if i == into else x
    outs = [spec for spec in case.tensors if spec[3] != "in"]
    narrow = lambda results: [r.to(dtype if spec[2] == "t" else TYPES[spec[2]]) for r, spec in zip(results, outs)]
    runs = []
    for variant in case.variants:
        runs.append(narrow(variant({name: x.float() if x.is_floating_point() else x for name, x in given.items()})))
        if dtype != torch.float32:
            try:
                runs.append(narrow(variant(given)))
            except RuntimeError:  # PyTorch lacks it for this type
                pass
    return [classes([run[i] for run in runs], case.op in EXACT) for i in range(len(outs))]


def by_type(case, special, into, at, place):
    """Places of strings: of f32, then of f16 and bf16 where one of them differs."""
    found = [want(case, special, into, at, dtype) for dtype in (torch.float32, torch.float16, torch.bfloat16)]
    if found[0] is None:
        return []
    return [[place(text) for text in each] for each in (found[:1] if found[1] == found[0] == found[2] else found)]


def position(case, spec, number):
    """A place inside the vectors for one tensor, in their tails for the next."""
    if case.at is not None:
        return case.at
    count = math.prod(spec[1])
    return [count - 1 if number % 2 else count // 3]


def cases(place):
    for family in elementwise, reductions, products, convolutions, batch_norm, pools, moves, steps:
        for case in family():
            floats = [i for i, spec in enumerate(case.tensors) if spec[3] != "out" and spec[2] in ("t", "f32")]
            tensors = [[*spec[:4], *([spec[6]] if spec[6] is not None else spec[4:6])] for spec in case.tensors]
            entry = {"op": case.op, **case.attributes, "exact": case.op in EXACT, "tensors": tensors, "specials": case.specials, "runs": []}
            for number, into in enumerate([None] if case.specials == ["none"] else case.into if case.into is not None else floats):
                at = [] if into is None else position(case, case.tensors[into], number)
                entry["runs"].append([into, at, [by_type(case, special, into, at, place) for special in case.specials]])
            yield entry


def main():
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "special"
    torch.set_num_threads(1)
    strings = {}
    place = lambda text: strings.setdefault(json.dumps(text, separators=(",", ":")), len(strings))
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases(place))
    folder.mkdir(parents=True, exist_ok=True)
    made_with = json.dumps(f"torch {torch.__version__.split('+')[0]}")
    (folder / "special.json").write_text(f'{{"made_with":{made_with},"strings":[{",".join(strings)}],"cases":[\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()
