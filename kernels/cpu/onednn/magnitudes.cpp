// SPDX-License-Identifier: MIT
#include "kernels/cpu/onednn/magnitudes.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>

#include "kernels/cpu/common.h"
#include "kernels/cpu/isa.h"

namespace mirilla::cpu {

namespace {

float find_largest(const float* x, int64_t n) {
  constexpr int64_t kShare = int64_t{1} << 18;  // a second thread pays off from one megabyte on
  const auto kernel = loops().largest;
  std::atomic<float> all = 0;
  parallel_shares(n, kShare, [&](int64_t begin, int64_t end) {
    const float own = kernel(x + begin, end - begin);
    for (float seen = all; own > seen && !all.compare_exchange_weak(seen, own);) {}
  });
  return all;
}

}  // namespace

const Magnitudes::Known* Magnitudes::find(const ConstView& x) const {
  if (x.storage_id == 0) return nullptr;
  const auto found = std::find_if(known_.begin(), known_.end(), [&](const Known& k) {
    return k.storage_id == x.storage_id && k.address == x.address && k.count == x.numel();
  });
  return found != known_.end() && found->version == x.version ? &*found : nullptr;
}

void Magnitudes::keep(const Known& known) {
  if (known.storage_id == 0) return;
  auto room = std::find_if(known_.begin(), known_.end(), [&](const Known& k) {
    return k.storage_id == known.storage_id && k.address == known.address && k.count == known.count;
  });
  if (room == known_.end()) {
    if (known_.size() < kMostKnown)
      room = known_.insert(known_.end(), Known{});
    else
      room = std::min_element(known_.begin(), known_.end(), [](const Known& a, const Known& b) { return a.last_use < b.last_use; });
  }
  *room = known;
  room->last_use = ++uses_;
}

float Magnitudes::largest(const ConstView& x) {
  if (!x) return 0;
  const Known* const known = find(x);
  if (known && known->exact) return known->bound;
  const float found = find_largest(x.data<float>(), x.numel());
  keep({x.storage_id, x.address, x.numel(), x.version, 0, found, true});
  return found;
}

float Magnitudes::bound(const ConstView& x) {
  const Known* const known = find(x);
  return known ? known->bound : largest(x);
}

bool Magnitudes::knows(const ConstView& x) const { return !x || find(x) != nullptr; }

void Magnitudes::note(const View& y, double bound) {
  const auto rounded_up = std::nextafter(static_cast<float>(bound), std::numeric_limits<float>::infinity());
  keep({y.storage_id, y.address, y.numel(), y.version, 0, rounded_up, false});
}

void Magnitudes::forget(uint64_t storage_id) {
  std::erase_if(known_, [&](const Known& k) { return k.storage_id == storage_id; });
}

}  // namespace mirilla::cpu
