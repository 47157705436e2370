// SPDX-License-Identifier: MIT
#pragma once

#include <span>
#include <string>

namespace mirilla::data {

/// A (height, width) array of f32 as a NumPy file: version 1.0, '<f4', C order.                                       [numpy.lib.format]
/// Appears whole or not at all. Throws ShapeError where values.size() is not height * width, Error where it cannot be written.
void write_npy(const std::string& path, std::span<const float> values, int height, int width);

}  // namespace mirilla::data
