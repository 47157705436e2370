// SPDX-License-Identifier: MIT
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "kernels/cuda/platform/platform.h"

namespace mirilla::simt {

/// An array in the executor's memory, between its guard zones.
template <class T>
class Array {
 public:
  explicit Array(size_t n) : n_(n), address_(static_cast<T*>(allocate(n * sizeof(T)))) {}
  Array(size_t n, T value) : Array(n) { std::fill_n(address_, n, value); }
  ~Array() { release(address_); }
  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;

  T* data() const { return address_; }
  T& operator[](size_t i) const { return address_[i]; }
  std::vector<T> values() const { return {address_, address_ + n_}; }

 private:
  size_t n_;
  T* address_;
};

/// The message of the DeviceError that f throws; empty if it throws none.
template <class F>
std::string error_of(F f) {
  try {
    f();
  } catch (const DeviceError& error) {
    return error.what();
  }
  return {};
}

/// Runs f in natural order and in several shuffled ones.
template <class F>
void in_every_order(F f) {
  for (uint64_t seed : {0, 1, 2, 3}) {
    SCOPED_TRACE("schedule seed " + std::to_string(seed));
    set_schedule_seed(seed);
    f();
  }
  set_schedule_seed(0);
}

}  // namespace mirilla::simt
