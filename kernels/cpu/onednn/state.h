// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <oneapi/dnnl/dnnl.hpp>
#include <unordered_map>
#include <utility>
#include <vector>

#include "kernels/core/error.h"
#include "kernels/cpu/products.h"
#include "kernels/host/threads.h"

namespace mirilla::cpu {

using Arguments = std::unordered_map<int, dnnl::memory>;

enum class Kind : int64_t { forward, backward_data, backward_weight, matmul };

/// Identifies a primitive. `threads` is part of it: oneDNN divides the work when it makes the primitive.
struct Key {
  Kind kind{};
  std::array<int64_t, 4> x{}, w{};  // extents
  int64_t stride = 1, padding = 0, dilation = 1;
  bool bias = false, residual = false, relu = false;
  int64_t threads = 0;
  auto operator<=>(const Key&) const = default;
};

/// One operand: its layout in our memory, the primitive's layout, and the reorder between them where they differ.
struct Operand {
  dnnl::memory::desc ours, theirs;
  dnnl::reorder reorder;  // from ours to theirs for what is read, back for what is written
  bool reordered = false;
};

/// A primitive and its operands. x, w, y are those of the forward formula; any of them may be the result.
struct Operation {
  dnnl::primitive primitive;
  Operand x, w, y;
  dnnl::memory::desc bias, scratchpad;
  dnnl::reorder residual;  // from ours to y's layout, where the primitive adds to what is in y
  bool adds_to_y = false;
};

/// A buffer that grows to the largest request and is kept.
class GrowingMemory {
 public:
  GrowingMemory() = default;
  ~GrowingMemory();
  GrowingMemory(const GrowingMemory&) = delete;
  GrowingMemory& operator=(const GrowingMemory&) = delete;

  void* get(size_t bytes);
  size_t bytes() const { return bytes_; }

 private:
  void* address_ = nullptr;
  size_t bytes_ = 0;
};

/// Runs f, and turns what oneDNN throws into a DeviceError that names the operation.
template <class F>
void with_onednn(std::string_view operation, F&& f) {
  try {
    f();
  } catch (const dnnl::error& error) {
    throw DeviceError(
        fmt::format(
            "{}: oneDNN could not do it ({})", operation,
            error.status == dnnl_out_of_memory ? "no memory is left" : fmt::format("its status {}", static_cast<int>(error.status))),
        error.status == dnnl_out_of_memory ? "a smaller batch needs less memory" : "ONEDNN_VERBOSE=all shows what it was asked for");
  }
}

/// Upper bounds of the magnitudes in f32 tensors, from earlier reads or computations. Kept for one version of a tensor with a stamp;
/// nothing is kept for one without a stamp. The bound of an absent tensor is 0.
class Magnitudes {
 public:
  /// max |x|, read if it is not known; infinity where an element is infinite or NaN.
  float largest(const ConstView& x);
  /// A bound, at least max |x|: the last noted one, or `largest`.
  float bound(const ConstView& x);
  /// Whether a bound is known without reading x.
  bool knows(const ConstView& x) const;
  /// Notes that no magnitude in the values now written to y exceeds `bound`.
  void note(const View& y, double bound);
  /// Drops what is known about a storage.
  void forget(uint64_t storage_id);

 private:
  struct Known {
    uint64_t storage_id = 0;
    const void* address = nullptr;
    int64_t count = 0;
    uint64_t version = 0, last_use = 0;
    float bound = 0;
    bool exact = false;
  };
  const Known* find(const ConstView& x) const;
  void keep(const Known& known);

  std::vector<Known> known_;
  uint64_t uses_ = 0;

  static constexpr size_t kMostKnown = 512;
};

/// The state of a Products: primitives, keyed by what they compute, and reordered weights, keyed by their storage.
struct Products::State {
  std::mutex mutex;  // guards everything below
  dnnl::engine engine{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream{engine};
  std::map<Key, Operation> operations;
  GrowingMemory scratchpad, x_scratch, w_scratch, y_scratch;
  Magnitudes magnitudes;
  int64_t reorders = 0;

  /// Weights in one layout, of one version.
  struct Kept {
    uint64_t storage_id = 0;
    const void* address = nullptr;
    uint64_t version = 0, last_use = 0;
    dnnl::memory memory;
  };
  std::vector<Kept> kept;
  uint64_t uses = 0;

  /// The primitive for this key, made by `make` the first time.
  template <class Make>
  const Operation& operation(const Key& key, Make&& make) {
    const auto found = operations.find(key);
    if (found != operations.end()) return found->second;
    if (operations.size() >= kMaxOperations) operations.clear();
    return operations.emplace(key, make()).first->second;
  }

  /// Calls f(state, threads) where oneDNN gets the threads that it expects, both to make a primitive and to run one: fewer would
  /// leave parts of the result uncomputed. One caller at a time.
  template <class F>
  void run(std::string_view operation, F&& f) {
    const std::lock_guard lock(mutex);
    on_host_team([&](int threads) { with_onednn(operation, [&] { f(*this, threads); }); });
  }

  dnnl::memory view(const dnnl::memory::desc& desc, const void* address) {
    return dnnl::memory(desc, engine, const_cast<void*>(address));  // oneDNN has no read-only memory
  }
  /// Memory for a result or an operand that is not kept: the operand itself, or scratch in the primitive's layout. `put` also fills it.
  dnnl::memory room(const Operand& operand, const void* address, GrowingMemory& scratch);
  dnnl::memory put(const Operand& operand, const void* address, GrowingMemory& scratch);
  /// Copies a result from room() to its address.
  void fetch(const Operand& operand, const dnnl::memory& from, void* address);
  /// Weights in the primitive's layout: as they are, kept from an earlier call with the same version, or reordered now.
  dnnl::memory weights(const Operand& operand, const ConstView& w);
  void execute(const Operation& operation, Arguments arguments);

  static constexpr size_t kMaxOperations = 1024, kMaxKept = 512;

 private:
  dnnl::memory& keep(const Operand& operand, const ConstView& w, bool& current);
};

}  // namespace mirilla::cpu
