// SPDX-License-Identifier: MIT
// Copies whole rows, so it works for any dtype.
#include <cstring>

#include "kernels/reference/reference.h"
#include "kernels/reference/rows.h"

namespace mirilla {

namespace {

// Copies `bytes` of each row from one matrix to another; rows start `from_pitch` and `to_pitch` bytes apart.
void copy_rows(const void* from, size_t from_pitch, void* to, size_t to_pitch, size_t bytes, int64_t rows) {
  if (bytes == 0) return;
  for (int64_t row = 0; row < rows; ++row)
    std::memcpy(static_cast<char*>(to) + static_cast<size_t>(row) * to_pitch,
                static_cast<const char*>(from) + static_cast<size_t>(row) * from_pitch, bytes);
}

size_t row_bytes(const ConstView& x) { return static_cast<size_t>(x.shape[-1]) * size_of(x.dtype); }

}  // namespace

void ReferenceBackend::concat(ConstView a, ConstView b, View y) {
  const int64_t rows = rows_of(y.shape).count;
  copy_rows(a.address, row_bytes(a), y.address, row_bytes(y), row_bytes(a), rows);
  copy_rows(b.address, row_bytes(b), static_cast<char*>(y.address) + row_bytes(a), row_bytes(y), row_bytes(b), rows);
}

void ReferenceBackend::split(ConstView y, View a, View b) {
  const int64_t rows = rows_of(y.shape).count;
  if (a) copy_rows(y.address, row_bytes(y), a.address, row_bytes(a), row_bytes(a), rows);
  if (b)
    copy_rows(static_cast<const char*>(y.address) + row_bytes(y) - row_bytes(b), row_bytes(y), b.address, row_bytes(b), row_bytes(b), rows);
}

}  // namespace mirilla
