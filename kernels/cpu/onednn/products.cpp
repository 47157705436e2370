// SPDX-License-Identifier: MIT
#include "kernels/cpu/products.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>

#include "kernels/cpu/common.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/onednn/state.h"
#include "kernels/host/memory.h"
#include "kernels/host/threads.h"

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

GrowingMemory::~GrowingMemory() { release_host(address_, bytes_); }

void* GrowingMemory::get(size_t bytes) {
  if (bytes <= bytes_) return address_;
  release_host(address_, bytes_);
  address_ = nullptr;
  bytes_ = 0;
  address_ = allocate_host(bytes);
  if (address_ == nullptr) {
    throw DeviceError(fmt::format("the device 'cpu' has no {} bytes left to work in", bytes),
                      "a smaller batch or smaller pictures need less");
  }
  bytes_ = bytes;
  return address_;
}

dnnl::memory& Products::State::keep(const Operand& operand, const ConstView& w, bool& current) {
  const auto same = [&](const Kept& k) {
    return k.storage_id == w.storage_id && k.address == w.address && k.memory.get_desc() == operand.theirs;
  };
  auto found = std::find_if(kept.begin(), kept.end(), same);
  if (found == kept.end()) {
    if (kept.size() < kMaxKept) {
      found = kept.insert(kept.end(), Kept{});
    } else {
      found = std::min_element(kept.begin(), kept.end(), [](const Kept& a, const Kept& b) { return a.last_use < b.last_use; });
    }
    *found = {.storage_id = w.storage_id, .address = w.address, .version = 0, .last_use = 0, .memory = {operand.theirs, engine}};
    current = false;
  } else {
    current = found->version == w.version;
  }
  found->version = w.version;
  found->last_use = ++uses;
  return found->memory;
}

dnnl::memory Products::State::room(const Operand& operand, const void* address, GrowingMemory& scratch) {
  return operand.reordered ? view(operand.theirs, scratch.get(operand.theirs.get_size())) : view(operand.ours, address);
}

dnnl::memory Products::State::put(const Operand& operand, const void* address, GrowingMemory& scratch) {
  dnnl::memory to = room(operand, address, scratch);
  if (operand.reordered) {
    dnnl::memory from = view(operand.ours, address);
    operand.reorder.execute(stream, from, to);
  }
  return to;
}

void Products::State::fetch(const Operand& operand, const dnnl::memory& from, void* address) {
  if (!operand.reordered) return;
  dnnl::memory source = from, to = view(operand.ours, address);
  operand.reorder.execute(stream, source, to);
  stream.wait();
}

dnnl::memory Products::State::weights(const Operand& operand, const ConstView& w) {
  if (!operand.reordered) return view(operand.ours, w.address);
  if (w.storage_id == 0) {
    ++reorders;
    return put(operand, w.address, w_scratch);
  }
  bool current = false;
  dnnl::memory& to = keep(operand, w, current);
  if (!current) {
    dnnl::memory from = view(operand.ours, w.address);
    operand.reorder.execute(stream, from, to);
    ++reorders;
  }
  return to;
}

void Products::State::execute(const Operation& operation, Arguments arguments) {
  arguments.emplace(DNNL_ARG_SCRATCHPAD, view(operation.scratchpad, scratchpad.get(operation.scratchpad.get_size())));
  operation.primitive.execute(stream, arguments);
  stream.wait();
}

Products::Products() {
  with_onednn("opening the device 'cpu'", [&] { state_ = std::make_unique<State>(); });
}

Products::~Products() = default;

void Products::forget(uint64_t storage_id) {
  const std::lock_guard lock(state_->mutex);
  std::erase_if(state_->kept, [&](const State::Kept& k) { return k.storage_id == storage_id; });
  state_->magnitudes.forget(storage_id);
}

Products::Statistics Products::statistics() const {
  const std::lock_guard lock(state_->mutex);
  Statistics s{.primitives = static_cast<int64_t>(state_->operations.size()),
               .kept_weights = static_cast<int64_t>(state_->kept.size()),
               .reorders = state_->reorders,
               .kept_bytes = 0,
               .scratch_bytes = static_cast<int64_t>(state_->scratchpad.bytes() + state_->x_scratch.bytes() + state_->w_scratch.bytes() +
                                                     state_->y_scratch.bytes())};
  for (const State::Kept& k : state_->kept) s.kept_bytes += static_cast<int64_t>(k.memory.get_desc().get_size());
  return s;
}

std::string products_library() {
  const dnnl_version_t* v = dnnl::version();
  return fmt::format("oneDNN {}.{}.{}", v->major, v->minor, v->patch);
}

}  // namespace mirilla::cpu
