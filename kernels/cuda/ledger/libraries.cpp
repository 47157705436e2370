// SPDX-License-Identifier: MIT
#include <algorithm>

#include "kernels/cuda/conv/channels.h"
#include "kernels/cuda/ledger/account.h"
#include "kernels/cuda/ledger/formulas.h"
#include "kernels/cuda/vendor/conv_calls.h"
#include "kernels/cuda/vendor/product.h"
#include "kernels/cuda/vendor/vendor.h"

// NVIDIA's libraries on the executor: there are none, since it exists to run our own kernels. A stream that only counts (kernels/ledger.h)
// notes the calls that a GPU's libraries would be given, and assumes that each is one launch that moves each tensor once.
namespace mirilla::simt::vendor {

namespace {

using cuda::vendor::ConvKind;

LedgerAccount* counting(const Stream& stream) {
  LedgerAccount* const account = ledger_of(stream);
  return account && account->libraries() ? account : nullptr;
}

std::string_view name_of_kind(ConvKind kind) {
  switch (kind) {
    case ConvKind::forward: return "cuDNN forward";
    case ConvKind::backward_data: return "cuDNN data gradient";
    default: return "cuDNN weight gradient";
  }
}

// A library's own division of a product (M,N) with inner extent K is not known: 64 x 64 sums per block, and about 1024 products per sum.
int64_t blocks_of(int64_t m, int64_t n, int64_t k) {
  constexpr int64_t kSide = 64, kDepth = 1024;
  const auto parts = [](int64_t extent, int64_t part) { return std::max<int64_t>(1, (extent + part - 1) / part); };
  return parts(m, kSide) * parts(n, kSide) * std::max<int64_t>(1, k / kDepth);
}

int64_t blocks_of(const ConvProblem& p) {
  switch (p.kind) {
    case ConvKind::forward: return blocks_of(p.n * p.p * p.q, p.k, p.r * p.s * p.c);
    case ConvKind::backward_data: return blocks_of(p.n * p.h * p.w, p.c, p.r * p.s * p.k);
    default: return blocks_of(p.k, p.r * p.s * p.c, p.n * p.p * p.q);
  }
}

}  // namespace

bool matmul(Stream& stream, const ConstView& a, const ConstView& b, const MatmulSpec& spec, const View& y) {
  LedgerAccount* const account = counting(stream);
  if (!account) return false;
  const cuda::vendor::Product p = cuda::vendor::product_of(a, b, spec.transpose_a, spec.transpose_b, y);
  if (p.m == 0) return false;
  account->library_called("cuBLASLt product", formulas::bytes_of(a) + formulas::bytes_of(b), formulas::bytes_of(y),
                          blocks_of(p.m, p.n, p.k));
  return true;
}

bool asks_cudnn(const Stream& stream) { return counting(stream) != nullptr; }

bool may_run(Stream&, const ConvProblem&) { return true; }

// As conv_tools.cpp finds it: no plan of cuDNN 9 writes f32 gradients of weights from halves, and few add a bias in f32 to them.
bool rounds(Stream&, const ConvProblem& problem) { return may_be_rounded(problem); }

// As conv_tools.cpp runs it: where the gradient of weights has to be f32, it is written in halves and widened.
bool run(Stream& stream, const ConvCall& call) {
  const ConvProblem& p = call.problem;
  const bool rounded = p.kind == ConvKind::backward_weight && is_half(p.dtype) && p.result == DType::f32;
  const auto element = static_cast<int64_t>(size_of(p.dtype)), result = static_cast<int64_t>(size_of(rounded ? p.dtype : p.result));
  const int64_t x = p.n * p.h * p.w * p.c, w = p.k * p.r * p.s * p.c, y = p.n * p.p * p.q * p.k, written = elements_written(p);
  int64_t read = (x + w + y - written) * element + (p.residual ? y * element : 0);
  if (p.bias) read += p.k * static_cast<int64_t>(size_of(p.bias_dtype));
  LedgerAccount& account = *ledger_of(stream);
  if (!rounded) {
    account.library_called(name_of_kind(p.kind), read, written * result, blocks_of(p));
    return true;
  }
  const Scratch halves(stream, static_cast<size_t>(written * result));
  account.library_called(name_of_kind(p.kind), read, written * result, blocks_of(p));
  widen_halves(stream, halves.as<void>(), p.dtype, static_cast<float*>(call.buffers.w), written);
  return true;
}

}  // namespace mirilla::simt::vendor
