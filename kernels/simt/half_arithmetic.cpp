// SPDX-License-Identifier: MIT
#include "kernels/simt/half_arithmetic.h"

namespace mirilla::simt {

const std::array<float, 65536>& half_table() {
  static const std::array<float, 65536> table = [] {
    std::array<float, 65536> values{};
    for (uint32_t bits = 0; bits < values.size(); ++bits) values[bits] = Half::to_float(static_cast<uint16_t>(bits));
    return values;
  }();
  return table;
}

}  // namespace mirilla::simt
