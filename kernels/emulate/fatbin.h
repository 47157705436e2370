// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

namespace mirilla::emulate {

/// The PTX in a fat binary that a GPU of this capability (90 for 9.0) would translate: that for the newest architecture that is not newer.
/// `data` is what __cudaRegisterFatBinary gets. Throws Error where there is none: for newer GPUs only, machine code only, or compressed.
std::string find_ptx(const void* data, int capability);

/// A fat binary with these texts, uncompressed, each for its capability: for tests.
struct PtxText {
  int capability = 0;
  std::string text;
};
std::vector<unsigned char> make_fat_binary(const std::vector<PtxText>& texts);

}  // namespace mirilla::emulate
