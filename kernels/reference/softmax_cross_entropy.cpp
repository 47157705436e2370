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

void ReferenceBackend::softmax(ConstView x, View y) {
  compute(y.dtype, "softmax", [&]<class T>() {
    const int64_t classes = x.shape[1];
    for (int64_t n = 0; n < x.shape[0]; ++n) {
      const Exponentials e(x.data<T>() + n * classes, classes);
      for (int64_t c = 0; c < classes; ++c) y.data<T>()[n * classes + c] = static_cast<T>(e.terms[static_cast<size_t>(c)] / e.sum);
    }
  });
}

void ReferenceBackend::cross_entropy(ConstView logits, ConstView targets, View losses, View dlogits) {
  compute(logits.dtype, "cross_entropy", [&]<class T>() {
    const int64_t items = logits.shape[0], classes = logits.shape[1];
    for (int64_t n = 0; n < items; ++n) {
      const T* const x = logits.data<T>() + n * classes;
      const int64_t target = targets.data<int64_t>()[n];
      const Exponentials e(x, classes);
      losses.data<T>()[n] = static_cast<T>(std::log(e.sum) + (e.largest - x[target]));
      if (!dlogits) continue;
      for (int64_t c = 0; c < classes; ++c) {
        const double probability = e.terms[static_cast<size_t>(c)] / e.sum;
        dlogits.data<T>()[n * classes + c] = static_cast<T>((probability - (c == target ? 1 : 0)) / static_cast<double>(items));
      }
    }
  });
}

}  // namespace mirilla
