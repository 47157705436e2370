// SPDX-License-Identifier: MIT
#pragma once

#include <span>
#include <vector>

#include "engine/tensor.h"

namespace mirilla {

/// Tensor::to_doubles of several tensors of one device, any dtypes, for one wait: they are gathered on the device and copied to the host as
/// one. An absent tensor gives no values. Throws DeviceError for tensors of several devices.
std::vector<std::vector<double>> to_doubles_together(std::span<const Tensor> tensors);

}  // namespace mirilla
