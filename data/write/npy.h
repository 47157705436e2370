// SPDX-License-Identifier: MIT
#pragma once

#include <span>
#include <string>

namespace mirilla::data {

/// A (height, width) array of f32, or (height, width, channels) where there are channels, as a NumPy file: version 1.0, '<f4', C order.
/// Written whole or not at all. Throws ShapeError where values.size() is not their product, Error where it cannot be written.
/// [numpy.lib.format]
void write_npy(const std::string& path, std::span<const float> values, int height, int width, int channels = 0);

}  // namespace mirilla::data
