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

template <>
void ReferenceBackend::execute(const op::Concat& call) {
  const int64_t rows = rows_of(call.y.shape).count;
  copy_rows(call.a.address, row_bytes(call.a), call.y.address, row_bytes(call.y), row_bytes(call.a), rows);
  copy_rows(call.b.address, row_bytes(call.b), static_cast<char*>(call.y.address) + row_bytes(call.a), row_bytes(call.y), row_bytes(call.b),
            rows);
}

template <>
void ReferenceBackend::execute(const op::Split& call) {
  const int64_t rows = rows_of(call.y.shape).count;
  if (call.a) copy_rows(call.y.address, row_bytes(call.y), call.a.address, row_bytes(call.a), row_bytes(call.a), rows);
  if (call.b)
    copy_rows(static_cast<const char*>(call.y.address) + row_bytes(call.y) - row_bytes(call.b), row_bytes(call.y), call.b.address,
              row_bytes(call.b), row_bytes(call.b), rows);
}

}  // namespace mirilla
