// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/reference/reference.h"

namespace mirilla {

namespace {

// exp(x - max x) and its sum: the largest term is 1, so the sum cannot overflow.
template <class T>
struct Exponentials {
  std::vector<double> terms;
  double largest, sum = 0;

  Exponentials(const T* x, int64_t n) : terms(static_cast<size_t>(n)), largest(*std::max_element(x, x + n)) {
    for (int64_t c = 0; c < n; ++c) sum += terms[static_cast<size_t>(c)] = std::exp(x[c] - largest);
  }
};

}  // namespace

template <>
void ReferenceBackend::execute(const op::Softmax& call) {
  compute(call.y.dtype, "softmax", [&]<class T>() {
    const int64_t classes = call.x.shape[1];
    for (int64_t n = 0; n < call.x.shape[0]; ++n) {
      const Exponentials e(call.x.data<T>() + n * classes, classes);
      for (int64_t c = 0; c < classes; ++c) call.y.data<T>()[n * classes + c] = static_cast<T>(e.terms[static_cast<size_t>(c)] / e.sum);
    }
  });
}

template <>
void ReferenceBackend::execute(const op::CrossEntropy& call) {
  compute(call.logits.dtype, "cross_entropy", [&]<class T>() {
    const int64_t items = call.logits.shape[0], classes = call.logits.shape[1];
    for (int64_t n = 0; n < items; ++n) {
      const T* const x = call.logits.data<T>() + n * classes;
      const int64_t target = call.targets.data<int64_t>()[n];
      const Exponentials e(x, classes);
      call.losses.data<T>()[n] = static_cast<T>(std::log(e.sum) + (e.largest - x[target]));
      if (!call.dlogits) continue;
      for (int64_t c = 0; c < classes; ++c) {
        const double probability = e.terms[static_cast<size_t>(c)] / e.sum;
        call.dlogits.data<T>()[n * classes + c] = static_cast<T>((probability - (c == target ? 1 : 0)) / static_cast<double>(items));
      }
    }
  });
}

}  // namespace mirilla
