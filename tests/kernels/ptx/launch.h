// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/ptx/machine.h"
#include "kernels/ptx/module.h"

#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace mirilla::ptx {

/// Memory of the emulated device that holds some elements.
template <class T>
class Array {
 public:
  Array(Memory& memory, std::vector<T> values, Memory::Content content = Memory::Content::kWritten)
      : memory_(memory), values_(std::move(values)) {
    if (values_.capacity() == values_.size()) values_.reserve(values_.size() + 64 / sizeof(T) + 1);
    memory_.add(values_.data(), values_.size() * sizeof(T), content);
  }
  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;
  ~Array() { memory_.forget(values_.data()); }

  u64 address() const { return reinterpret_cast<u64>(values_.data()); }
  const std::vector<T>& values() const { return values_; }
  T operator[](size_t k) const { return values_[k]; }
  T* data() { return values_.data(); }

 private:
  Memory& memory_;
  std::vector<T> values_;
};

/// The bytes of parameters, each aligned to its size.
template <class... T>
std::vector<std::byte> parameters(T... values) {
  std::vector<std::byte> bytes;
  const auto add = [&](auto value) {
    bytes.resize((bytes.size() + sizeof value - 1) / sizeof value * sizeof value);
    const auto* from = reinterpret_cast<const std::byte*>(&value);
    bytes.insert(bytes.end(), from, from + sizeof value);
  };
  (add(values), ...);
  return bytes;
}

inline std::string header(std::string_view target = "sm_90") {
  return ".version 9.0\n.target " + std::string(target) + "\n.address_size 64\n";
}

/// A kernel k(.u64 in, .u64 out) around some instructions. Before them, per thread t of the block: %r0 = t, %rd0 = in, %rd1 = out.
/// Registers that may be used: %p0-15, %h0-31 (16 bits), %r0-99, %f0-31, %rd0-31, %fd0-15.
inline std::string kernel_of(std::string_view body, std::string_view before = {}, std::string_view declarations = {}) {
  return header() + std::string(before) +
         ".visible .entry k(.param .u64 in, .param .u64 out)\n{\n"
         ".reg .pred %p<16>;\n.reg .b16 %h<32>;\n.reg .b32 %r<100>;\n.reg .f32 %f<32>;\n.reg .b64 %rd<32>;\n.reg .f64 %fd<16>;\n" +
         std::string(declarations) + "mov.u32 %r0, %tid.x;\nld.param.u64 %rd0, [in];\nld.param.u64 %rd1, [out];\n" + std::string(body) +
         "\nret;\n}\n";
}

/// Runs such a kernel over 32-bit words and returns what it wrote to out.
inline std::vector<u32> run_words(std::string_view body, std::vector<u32> in, size_t out_words = 32, Dim block = {32},
                                  const Options& options = {}, std::string_view before = {}, std::string_view declarations = {},
                                  size_t dynamic_shared = 0, Dim grid = {}) {
  Memory memory;
  Array<u32> input(memory, std::move(in)), output(memory, std::vector<u32>(out_words, 0));
  const Module module(kernel_of(body, before, declarations), memory);
  Machine machine;
  machine.launch(module, *module.kernel("k"), grid, block, parameters(input.address(), output.address()), dynamic_shared, options);
  return output.values();
}

}  // namespace mirilla::ptx
