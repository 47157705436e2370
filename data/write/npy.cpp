// SPDX-License-Identifier: MIT
#include "data/write/npy.h"

#include <bit>
#include <cstring>
#include <vector>

#include "kernels/core/atomic_file.h"
#include "kernels/core/error.h"

namespace mirilla::data {

void write_npy(const std::string& path, std::span<const float> values, int height, int width, int channels) {
  static_assert(std::endian::native == std::endian::little, "the file's '<f4' is copied from memory");
  const std::string shape = channels == 0 ? fmt::format("{}, {}", height, width) : fmt::format("{}, {}, {}", height, width, channels);
  if (values.size() != static_cast<size_t>(height) * static_cast<size_t>(width) * static_cast<size_t>(channels == 0 ? 1 : channels))
    throw ShapeError(fmt::format("write_npy: {} values do not fill an array of ({})", values.size(), shape));
  constexpr size_t kPreamble = 10, kAlignment = 64;  // magic, version, header length; the data begins at a multiple of 64
  std::string header = fmt::format("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}), }}", shape);
  header.append(kAlignment - (kPreamble + header.size() + 1) % kAlignment, ' ');
  header += '\n';
  std::vector<uint8_t> bytes{
      0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, static_cast<uint8_t>(header.size() & 0xff), static_cast<uint8_t>(header.size() >> 8)};
  bytes.insert(bytes.end(), header.begin(), header.end());
  const auto* raw = reinterpret_cast<const uint8_t*>(values.data());
  bytes.insert(bytes.end(), raw, raw + values.size_bytes());
  write_atomically(path, bytes);
}

}  // namespace mirilla::data
