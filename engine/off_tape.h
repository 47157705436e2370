// SPDX-License-Identifier: MIT
#pragma once

#include "engine/tensor.h"

/// Plain arithmetic that no tape records, one operation of the device's table each: for backward passes, optimizers and what else is
/// composed of the core. No function waits for the device.
namespace mirilla::off_tape {

/// a b, elementwise; b is like a, or one element.
Tensor product(const Tensor& a, const Tensor& b);
/// a + b, elementwise; same shape and dtype.
Tensor sum(const Tensor& a, const Tensor& b);
/// factor x.
Tensor times(const Tensor& x, double factor);
/// x where `mask` (like x) is 1 and 0 where it is 0, whatever x is there: a product would make a NaN of an infinity.
Tensor selected(const Tensor& x, const Tensor& mask);

}  // namespace mirilla::off_tape
