#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes tests/oracle/ops/<operator>.safetensors with PyTorch in float64: python tests/oracle/make_ops.py [FOLDER]

Needs torch 2.11, numpy and fastai 2.8.12 (for its Adam). A file holds several cases of one operator. Tensors are named case<i>.<name>, and
the metadata has under case<i> the case's attributes as JSON text. Layouts are Mirilla's: pictures (N,H,W,C), weights (K,R,S,C), linear
weights (O,I). Real numbers are F64; inputs, weights and dy have only values that are exact in f32, so that casting them loses
nothing. d<name> is the gradient of sum(y dy) with respect to <name>.

  conv2d          x w [b] dy -> y dx dw [db]; stride, padding, dilation
  batch_norm      x weight bias running_mean running_var [residual] dy -> y dx dweight dbias [dresidual], running_mean_after and
                  running_var_after; training, eps, momentum, relu: y = [relu](bn(x) [+ residual])
  relu            x [dy] -> y [dx]; the case of NaN and infinities has only a forward pass
  add             a b dy -> y da db
  max_pool2d      x dy -> y dx, index (U8: row * window + column in the window); window, stride, padding
  adaptive_avg_pool2d, adaptive_max_pool2d    x dy -> y dx, for max also index (I64: row * W + column in x); size [h,w]
  adaptive_concat_pool2d                      x dy -> y dx; y is [max, average] along the channels
  linear          x w [b] dy -> y dx dw [db]
  flatten         x dy -> y dx; our order (H,W,C), which is PyTorch's (C,H,W) only for 1x1 pictures
  softmax         x -> y
  cross_entropy   logits targets (I64) -> losses (N), loss (mean), dlogits of loss * dloss; dloss
  reductions      x -> sum, mean, sum_rows (over all dimensions but the last)
  cast            x -> y; from, to. case<i>.x and .y have the dtypes that the case names. The last two have no x and y: fnv1a64 is
                  FNV-1a-64, in hex, of the 65,536 values of `from` in the order of their bits, as little-endian f32, every NaN as 7fc00000
  adam            p (n), gradients (steps,n), learning_rates (steps), momenta (steps) -> parameters (steps,n) after each step, m, v;
                  beta2, eps, weight_decay
"""
import json
import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from oracle_file import fnv1a64, write_safetensors

generator = torch.Generator()


def draw(*shape, scale=1.0):
    """Normal random numbers that are exact in f32."""
    return (torch.randn(*shape, generator=generator) * scale).double()


def nchw(x):
    return x.permute(0, 3, 1, 2)


def nhwc(x):
    return x.permute(0, 2, 3, 1).contiguous()


def differentiate(run, inputs, dy=None):
    """y and d<name> of each input, for y = run(inputs) and a dy drawn like it."""
    leaves = {name: x.clone().requires_grad_() for name, x in inputs.items()}
    y = run(leaves)
    dy = draw(*y.shape) if dy is None else dy
    y.backward(dy)
    return {"dy": dy, "y": y.detach()} | {"d" + name: leaf.grad for name, leaf in leaves.items()}


def conv2d():
    # n, h, w, in, out, kernel, stride, padding, dilation, bias
    for n, h, w, c, k, r, stride, padding, dilation, bias in [
            (2, 5, 5, 3, 4, 1, 1, 0, 1, True), (1, 7, 5, 8, 8, 1, 2, 0, 1, False), (2, 6, 7, 3, 5, 3, 1, 1, 1, True),
            (1, 9, 8, 16, 24, 3, 1, 1, 1, False), (2, 9, 9, 8, 16, 3, 2, 1, 1, False), (1, 17, 15, 3, 8, 7, 2, 3, 1, False),
            (1, 8, 8, 4, 4, 3, 1, 0, 1, True), (1, 3, 2, 5, 7, 3, 2, 1, 1, True), (1, 1, 1, 4, 3, 3, 1, 1, 1, False),
            (1, 10, 11, 4, 6, 3, 1, 2, 2, True), (3, 4, 4, 33, 17, 1, 1, 0, 1, False)]:
        inputs = {"x": draw(n, h, w, c), "w": draw(k, r, r, c, scale=(r * r * c) ** -.5)} | ({"b": draw(k)} if bias else {})
        run = lambda t: nhwc(F.conv2d(nchw(t["x"]), nchw(t["w"]), t.get("b"), stride, padding, dilation))
        yield {"stride": stride, "padding": padding, "dilation": dilation}, inputs | differentiate(run, inputs)


def batch_norm():
    for shape, training, residual, relu, momentum, eps in [
            ((4, 3, 5, 6), True, False, False, .1, 1e-5), ((2, 7, 4, 33), True, False, False, .1, 1e-5),
            ((2, 4, 4, 16), True, False, True, .1, 1e-5), ((3, 4, 5, 8), True, True, True, .1, 1e-5),
            ((3, 4, 5, 8), True, True, False, .25, 1e-3), ((8, 19), True, False, False, .1, 1e-5),
            ((2, 3), True, False, False, .1, 1e-5), ((3, 5, 4, 8), False, False, False, .1, 1e-5),
            ((3, 5, 4, 16), False, True, True, .1, 1e-5), ((5, 7), False, False, True, .1, 1e-5)]:
        c = shape[-1]
        inputs = {"x": draw(*shape) * 1.5 + 3, "weight": 1 + draw(c, scale=.25), "bias": draw(c, scale=.5)}
        inputs = {name: x.float().double() for name, x in inputs.items()} | ({"residual": draw(*shape)} if residual else {})
        start = {"running_mean": draw(c).float().double(), "running_var": (draw(c).abs() + .5).float().double()}
        after = {name + "_after": x.clone() for name, x in start.items()}
        to_torch, back = (nchw, nhwc) if len(shape) == 4 else (lambda x: x, lambda x: x)
        before_relu = []

        def run(t):
            running = after["running_mean_after"], after["running_var_after"]
            y = back(F.batch_norm(to_torch(t["x"]), *running, t["weight"], t["bias"], training, momentum, eps))
            y = y + t["residual"] if residual else y
            before_relu.append(y.detach())
            return y.relu() if relu else y

        outputs = differentiate(run, inputs)
        assert not relu or before_relu[0].abs().min() > 1e-5, "too close to the kink for f32: draw again"
        yield {"training": training, "relu": relu, "momentum": momentum, "eps": eps}, inputs | start | outputs | after


def relu():
    for x in draw(31), draw(2, 3, 5, 33), torch.tensor([0., -0., 1., -1., 2.**-149, -2.**-149], dtype=torch.float64):
        yield {}, {"x": x} | differentiate(lambda t: t["x"].relu(), {"x": x})
    x = torch.tensor([float("nan"), float("inf"), -float("inf"), 1.], dtype=torch.float64)
    yield {}, {"x": x, "y": x.relu()}


def add():
    for shape in (1,), (31,), (2, 3, 5, 7):
        inputs = {"a": draw(*shape), "b": draw(*shape)}
        yield {}, inputs | differentiate(lambda t: t["a"] + t["b"], inputs)


def pool_inputs(*shape):
    """Distinct numbers, ties everywhere, all the same, all below zero, a single NaN in its windows."""
    yield draw(*shape)
    yield draw(*shape).mul(1.5).round().clamp(-1, 1) + 0.0
    yield torch.full(shape, -2., dtype=torch.float64)
    yield -draw(*shape).abs() - 1
    x = draw(*shape)
    x[0, shape[1] // 2, shape[2] // 2, 0] = float("nan")
    yield x


def max_pool2d():
    for h, w, window, stride, padding in (7, 9, 3, 2, 1), (8, 6, 3, 2, 1), (1, 3, 3, 2, 1), (6, 5, 2, 2, 0), (5, 5, 3, 1, 1):
        for x in pool_inputs(2, h, w, 3):
            _, flat = F.max_pool2d(nchw(x), window, stride, padding, return_indices=True)
            flat = nhwc(flat)
            top = torch.arange(flat.shape[1]).view(1, -1, 1, 1) * stride - padding
            left = torch.arange(flat.shape[2]).view(1, 1, -1, 1) * stride - padding
            index = ((flat // w - top) * window + (flat % w - left)).to(torch.uint8)
            run = lambda t: nhwc(F.max_pool2d(nchw(t["x"]), window, stride, padding))
            yield {"window": window, "stride": stride, "padding": padding}, {"x": x, "index": index} | differentiate(run, {"x": x})


ADAPTIVE = [((2, 4, 4, 5), (1, 1)), ((1, 7, 5, 3), (1, 1)), ((2, 4, 6, 3), (2, 3)), ((1, 7, 8, 4), (2, 3)), ((1, 1, 1, 33), (1, 1))]


def adaptive_avg_pool2d():
    for shape, size in ADAPTIVE:
        x = draw(*shape)
        yield {"size": size}, {"x": x} | differentiate(lambda t: nhwc(F.adaptive_avg_pool2d(nchw(t["x"]), size)), {"x": x})


def adaptive_max_pool2d():
    for shape, size in ADAPTIVE:
        for x in pool_inputs(*shape):
            _, index = F.adaptive_max_pool2d(nchw(x), size, return_indices=True)
            run = lambda t: nhwc(F.adaptive_max_pool2d(nchw(t["x"]), size))
            yield {"size": size}, {"x": x, "index": nhwc(index)} | differentiate(run, {"x": x})


def adaptive_concat_pool2d():
    for shape, size in ADAPTIVE:
        x = draw(*shape)
        pools = F.adaptive_max_pool2d, F.adaptive_avg_pool2d
        run = lambda t: nhwc(torch.cat([pool(nchw(t["x"]), size) for pool in pools], 1))
        yield {"size": size}, {"x": x} | differentiate(run, {"x": x})


def linear():
    for n, i, o, bias in (3, 5, 4, True), (1, 7, 1, False), (8, 33, 17, True), (4, 64, 6, False):
        inputs = {"x": draw(n, i), "w": draw(o, i, scale=i ** -.5)} | ({"b": draw(o)} if bias else {})
        yield {}, inputs | differentiate(lambda t: F.linear(t["x"], t["w"], t.get("b")), inputs)


def flatten():
    x = draw(3, 1, 1, 7)
    yield {}, {"x": x} | differentiate(lambda t: nchw(t["x"]).flatten(1), {"x": x})
    x = draw(2, 2, 3, 5)
    yield {}, {"x": x} | differentiate(lambda t: t["x"].flatten(1), {"x": x})


def logits():
    yield draw(4, 6)
    yield draw(3, 1)
    yield draw(5, 10, scale=20.)
    yield torch.tensor([[1000., 0., -1000.], [-80., -81., -82.], [3., 3., 3.], [-1e4, -1e4, 500.]], dtype=torch.float64)


def softmax():
    for x in logits():
        yield {}, {"x": x, "y": x.softmax(1)}


def cross_entropy():
    for i, x in enumerate(logits()):
        targets = torch.randint(x.shape[1], (x.shape[0],), generator=generator)
        dloss = (1., 2.5, 1., -.5)[i]
        leaf = x.clone().requires_grad_()
        loss = F.cross_entropy(leaf, targets)
        (loss * dloss).backward()
        losses = F.cross_entropy(x, targets, reduction="none")
        yield {"dloss": dloss}, {"logits": x, "targets": targets, "losses": losses, "loss": loss.detach(), "dlogits": leaf.grad}


def reductions():
    for shape in (1,), (1001,), (7, 5), (2, 3, 4, 33), (300, 2):
        x = draw(*shape) + .25
        x = x.float().double()
        rows = {"sum_rows": x.reshape(-1, shape[-1]).sum(0)}
        yield {}, {"x": x, "sum": x.sum(), "mean": x.mean()} | rows


def rounding_cases(dtype):
    """f32 numbers around every kind of border of a 16-bit type: each sampled value, halfway to the next, and one unit of f32 beside
    both."""
    bits = torch.arange(0, 2**15, 211, dtype=torch.int32).tolist()
    bits += [0, 1, 2, 0x3FF, 0x400, 0x401, 0x7F, 0x80, 0x81, 0x7BFF, 0x7C00, 0x7F7F, 0x7F80, 0x3C00, 0x3F80]
    values = torch.tensor(sorted(set(bits)), dtype=torch.int16).view(dtype).float()
    values = values[values.isfinite()]
    following = (values.to(dtype).view(torch.int16) + 1).view(dtype).float()
    border = 65536. if dtype == torch.float16 else float("inf")  # what would follow the largest
    middle = values.double() / 2 + torch.where(following.isfinite(), following, torch.tensor(border)).double() / 2
    middle = middle[middle <= torch.finfo(torch.float32).max].float()
    around = torch.cat([values, middle])
    infinity = torch.tensor(float("inf"))
    around = torch.cat([around, torch.nextafter(around, infinity), torch.nextafter(around, -infinity),
                        torch.tensor([float("inf"), float("nan"), 3.4028235e38, 2.**-149, 65519.996, 65520., 65536.])])
    return torch.cat([around, -around])


def numpy_bits(x):
    return x.view(torch.int16).numpy().view(np.uint16) if x.dtype == torch.bfloat16 else x.numpy()


def cast():
    names = {torch.float16: "f16", torch.bfloat16: "bf16", torch.float32: "f32", torch.float64: "f64", torch.uint8: "u8",
             torch.int64: "i64"}
    pairs = [(rounding_cases(torch.float16), torch.float16), (rounding_cases(torch.bfloat16), torch.bfloat16),
             (torch.arange(256, dtype=torch.uint8), torch.float32), (torch.arange(256, dtype=torch.uint8), torch.float16),
             (torch.tensor([0, -1, 2**24 + 1, -2**53, 123456789]), torch.float32), (torch.arange(0, 300, 7) - 150, torch.bfloat16),
             (torch.tensor([1 + 2.**-24, 1 + 2.**-23 + 2.**-24, 1e300, -1e-320, .1], dtype=torch.float64), torch.float32),
             (torch.tensor([0., .5, .999, 1.5, 254.99, 255.]), torch.uint8),
             (torch.tensor([0., -.5, -1.99, 2.5, 1e9, -2.**40]), torch.int64), (draw(33).float(), torch.float64)]
    for x, dtype in pairs:
        yield {"from": names[x.dtype], "to": names[dtype]}, {"x": numpy_bits(x), "y": numpy_bits(x.to(dtype))}
    for dtype in torch.float16, torch.bfloat16:
        wide = torch.arange(2**16, dtype=torch.int32).to(torch.int16).view(dtype).float().numpy().copy()
        wide.view(np.uint32)[np.isnan(wide)] = 0x7FC00000
        yield {"from": names[dtype], "to": "f32", "fnv1a64": f"{fnv1a64(wide.astype('<f4').tobytes()):016x}"}, {}


def adam():
    from fastai.optimizer import Adam
    steps, n = 20, 9
    for weight_decay in .01, 0.:
        p, gradients = draw(n), draw(steps, n, scale=.3)
        gradients[:, -1] *= 1e-4
        rates = torch.linspace(1e-3, 2e-2, steps).double()
        momenta = torch.linspace(.95, .85, steps).double()
        parameter = p.clone().requires_grad_()
        optimizer = Adam([parameter], lr=0., mom=0., sqr_mom=.99, eps=1e-5, wd=weight_decay, decouple_wd=True)
        parameters = []
        for step in range(steps):
            optimizer.set_hypers(lr=rates[step].item(), mom=momenta[step].item())
            parameter.grad = gradients[step].clone()
            optimizer.step()
            parameters.append(parameter.detach().clone())
        state = optimizer.state[parameter]
        yield {"beta2": .99, "eps": 1e-5, "weight_decay": weight_decay}, {
            "p": p, "gradients": gradients, "learning_rates": rates, "momenta": momenta, "parameters": torch.stack(parameters),
            "m": state["grad_avg"], "v": state["sqr_avg"]}


OPERATORS = [conv2d, batch_norm, relu, add, max_pool2d, adaptive_avg_pool2d, adaptive_max_pool2d, adaptive_concat_pool2d, linear, flatten,
             softmax, cross_entropy, reductions, cast, adam]


def main():
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "ops"
    torch.set_num_threads(1)
    for number, operator in enumerate(OPERATORS):
        generator.manual_seed(number)
        tensors, metadata = {}, {"operator": operator.__name__, "made_with": f"torch {torch.__version__.split('+')[0]}"}
        for i, (attributes, case) in enumerate(operator()):
            metadata[f"case{i}"] = json.dumps(attributes)
            for name, x in case.items():
                tensors[f"case{i}.{name}"] = x.contiguous().numpy() if isinstance(x, torch.Tensor) else x
        write_safetensors(folder / f"{operator.__name__}.safetensors", tensors, metadata)


if __name__ == "__main__":
    main()
