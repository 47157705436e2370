// SPDX-License-Identifier: MIT
#include "bench/convolutions.h"

namespace mirilla::bench {

struct ConvolutionsAlone::State {};

ConvolutionsAlone::ConvolutionsAlone(const std::vector<Convolution>&, bool) {}
ConvolutionsAlone::~ConvolutionsAlone() = default;

bool ConvolutionsAlone::available() { return false; }

void ConvolutionsAlone::run() {}

}  // namespace mirilla::bench
