// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <map>
#include <memory>
#include <oneapi/dnnl/dnnl.hpp>
#include <unordered_map>
#include <utility>
#include <vector>

#include "kernels/cpu/products.h"
#include "kernels/error.h"

namespace mirilla::cpu {

using Arguments = std::unordered_map<int, dnnl::memory>;

enum class Kind : int64_t { forward, backward_data, backward_weight, matmul };

/// What tells one primitive from another. `threads` is part of it: oneDNN cuts the work when it makes the primitive.
struct Key {
  Kind kind{};
  std::array<int64_t, 4> x{}, w{};  // extents
  int64_t stride = 1, padding = 0, dilation = 1;
  bool bias = false, residual = false, relu = false;
  int64_t threads = 0;
  auto operator<=>(const Key&) const = default;
};

/// A primitive and the layout that it wants its weights in (or gives their gradient in).
struct Operation {
  dnnl::primitive primitive;
  dnnl::memory::desc source, weights, bias, destination, scratchpad;
  dnnl::memory::desc plain_weights;  // ours
  dnnl::reorder reorder;             // between ours and theirs, where they differ
  bool reordered = false;
};

/// Bytes that grow to the largest request and stay.
class Scratch {
 public:
  void* get(size_t bytes);
  size_t bytes() const { return bytes_; }

 private:
  struct Free {
    void operator()(void* address) const;
  };
  std::unique_ptr<void, Free> memory_;
  size_t bytes_ = 0;
};

/// What a Products keeps: primitives by what they compute, reordered weights by whose values they are.
struct Products::State {
  dnnl::engine engine{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream{engine};
  std::map<Key, Operation> operations;
  Scratch scratchpad, reordered;
  int64_t reorders = 0;

  /// Weights in one layout, as of one version.
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

  dnnl::memory view(const dnnl::memory::desc& desc, const void* address) {
    return dnnl::memory(desc, engine, const_cast<void*>(address));  // oneDNN has no memory that is only read
  }
  /// w as the operation wants it: as it lies, kept from an earlier call of the same version, or reordered now.
  dnnl::memory weights(const Operation& operation, const ConstView& w);
  void execute(const Operation& operation, Arguments arguments);

  static constexpr size_t kMaxOperations = 1024, kMaxKept = 512;

 private:
  dnnl::memory& keep(const Operation& operation, const ConstView& w, bool& current);
};

/// Runs f, and turns what oneDNN throws into a DeviceError that names the operation.
template <class F>
void with_onednn(std::string_view operation, F&& f) {
  try {
    f();
  } catch (const dnnl::error& error) {
    throw DeviceError(
        fmt::format("{}: oneDNN failed with \"{}\" (status {})", operation, error.what(), static_cast<int>(error.status)),
        error.status == dnnl_out_of_memory ? "a smaller batch needs less memory" : "ONEDNN_VERBOSE=all shows what it was asked for");
  }
}

/// From now on in this thread oneDNN computes with host_threads() threads; the number.
int64_t use_host_threads();

}  // namespace mirilla::cpu
