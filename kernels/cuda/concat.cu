// SPDX-License-Identifier: MIT
#include <algorithm>

#include "kernels/cuda/parts/elementwise.h"
#include "kernels/cuda/parts/index.h"

// concat: y (...,A+B) = [a (...,A), b (...,B)], row by row.  split: the inverse; each of a and b may be absent. Only bytes are moved, so
// it works for any dtype.
//
// Bytes: read n, write n elements of y, in the widest words, up to 16 bytes, that divide the rows of both and suit all addresses.
// Launch: one thread per word of y, 256 per block, grid-stride.
namespace mirilla::MIRILLA_PLATFORM {

namespace {

template <class Index>
struct RowsOfTwo {
  Index words, a_width, b_width;  // words of y; words per row of a and of b
};

// Index is 32 bits wide where that is enough, for a faster division.
template <class Word, class Index>
__global__ void concat_kernel(const Word* __restrict__ a, const Word* __restrict__ b, RowsOfTwo<Index> rows, Word* __restrict__ y) {
  const Index width = rows.a_width + rows.b_width;
  for (int64_t i = thread_in_grid(); i < static_cast<int64_t>(rows.words); i += threads_in_grid()) {
    const Index row = static_cast<Index>(i) / width, column = static_cast<Index>(i) - row * width;
    y[i] = column < rows.a_width ? a[row * rows.a_width + column] : b[row * rows.b_width + column - rows.a_width];
  }
}

template <class Word, class Index>
__global__ void split_kernel(const Word* __restrict__ y, RowsOfTwo<Index> rows, Word* __restrict__ a, Word* __restrict__ b) {
  const Index width = rows.a_width + rows.b_width;
  for (int64_t i = thread_in_grid(); i < static_cast<int64_t>(rows.words); i += threads_in_grid()) {
    const Index row = static_cast<Index>(i) / width, column = static_cast<Index>(i) - row * width;
    if (column < rows.a_width) {
      if (a) a[row * rows.a_width + column] = y[i];
    } else if (b) {
      b[row * rows.b_width + column - rows.a_width] = y[i];
    }
  }
}

// Rows in bytes, and the addresses of a, b and y.
struct Joined {
  int64_t rows, a_bytes, b_bytes;
  const void *a, *b, *y;
};

template <class Word, class F>
void with_index(const Joined& joined, F&& f) {
  const auto go = [&]<class Index>() {
    constexpr int64_t kBytes = sizeof(Word);
    const auto a = static_cast<Index>(joined.a_bytes / kBytes), b = static_cast<Index>(joined.b_bytes / kBytes);
    f.template operator()<Word>(RowsOfTwo<Index>{static_cast<Index>(joined.rows) * (a + b), a, b});
  };
  if (counts_in_32_bits(joined.rows * (joined.a_bytes + joined.b_bytes)))
    go.template operator()<uint32_t>();
  else
    go.template operator()<uint64_t>();
}

// Calls f<Word>(RowsOfTwo) with the widest word that fits.
template <class F>
void with_word(const Joined& joined, F&& f) {
  const auto fits = [&](size_t bytes) {
    const auto divides = [&](int64_t n) { return n % static_cast<int64_t>(bytes) == 0; };
    return divides(joined.a_bytes) && divides(joined.b_bytes) && is_aligned(joined.a, bytes) && is_aligned(joined.b, bytes) &&
           is_aligned(joined.y, bytes);
  };
  if (fits(16)) return with_index<Vector<uint64_t, 2>>(joined, f);
  if (fits(8)) return with_index<uint64_t>(joined, f);
  if (fits(4)) return with_index<uint32_t>(joined, f);
  if (fits(2)) return with_index<uint16_t>(joined, f);
  with_index<uint8_t>(joined, f);
}

int64_t row_bytes(const ConstView& x) { return channels_of(x) * static_cast<int64_t>(size_of(x.dtype)); }

}  // namespace

template <>
void CudaBackend::execute(const op::Concat& call) {
  if (call.y.numel() == 0) return;
  with_word({rows_of(call.y), row_bytes(call.a), row_bytes(call.b), call.a.address, call.b.address, call.y.address},
            [&]<class Word, class Index>(RowsOfTwo<Index> rows) {
              launch<concat_kernel<Word, Index>>(stream_, {blocks_for(static_cast<int64_t>(rows.words), kBlock), kBlock},
                                                 static_cast<const Word*>(call.a.address), static_cast<const Word*>(call.b.address), rows,
                                                 static_cast<Word*>(call.y.address));
            });
}

template <>
void CudaBackend::execute(const op::Split& call) {
  if (call.y.numel() == 0 || (!call.a && !call.b)) return;
  const int64_t a_bytes = call.a ? row_bytes(call.a) : row_bytes(call.y) - row_bytes(call.b);
  with_word({rows_of(call.y), a_bytes, row_bytes(call.y) - a_bytes, call.a ? call.a.address : nullptr, call.b ? call.b.address : nullptr,
             call.y.address},
            [&]<class Word, class Index>(RowsOfTwo<Index> rows) {
              launch<split_kernel<Word, Index>>(
                  stream_, {blocks_for(static_cast<int64_t>(rows.words), kBlock), kBlock}, static_cast<const Word*>(call.y.address), rows,
                  call.a ? static_cast<Word*>(call.a.address) : nullptr, call.b ? static_cast<Word*>(call.b.address) : nullptr);
            });
}

}  // namespace mirilla::MIRILLA_PLATFORM
