// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace mirilla {

/// The pictures of a batch (n, height, width, pictures) far apart and out of order in one storage, with a gap after every row: the use of
/// Augment::places.
struct Scattered {
  template <class Batch>
  explicit Scattered(const Batch& batch) {
    const int64_t row = batch.width * 3, row_bytes = row + 5, picture_bytes = batch.height * row_bytes + 7;
    const int64_t slot_bytes = batch.height * row;
    slots = ((batch.n + 1) * picture_bytes + slot_bytes - 1) / slot_bytes;
    bytes.assign(static_cast<size_t>(slots * slot_bytes), 171);
    for (int64_t n = 0; n < batch.n; ++n) {
      const int64_t first = (batch.n - 1 - n) * picture_bytes + 3;
      places.insert(places.end(), {first, row_bytes});
      for (int64_t y = 0; y < batch.height; ++y)
        std::copy_n(batch.pictures.begin() + n * slot_bytes + y * row, row, bytes.begin() + first + y * row_bytes);
    }
  }

  int64_t slots = 0;  // how many pictures would fit its bytes
  std::vector<uint8_t> bytes;
  std::vector<int64_t> places;
};

}  // namespace mirilla
