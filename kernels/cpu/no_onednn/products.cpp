// SPDX-License-Identifier: MIT
// Where the build found no oneDNN: nothing is kept between calls.
#include "kernels/cpu/products.h"

namespace mirilla::cpu {

struct Products::State {};

Products::Products() = default;
Products::~Products() = default;

void Products::forget(uint64_t) {}

Products::Statistics Products::statistics() const { return {}; }

std::string products_library() { return "no oneDNN: convolutions will be slow"; }

}  // namespace mirilla::cpu
