// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/core/dtype.h"
#include "kernels/emulate/runtime.h"

#include <functional>
#include <span>
#include <string>
#include <vector>

namespace mirilla::emulate {

/// A piece of the device's memory that a library's function was given.
struct Operand {
  std::string name;  // for messages: "tensor 3"
  void* address = nullptr;
  size_t bytes = 0;
};

/// What a library gives to a stream.
struct LibraryWork {
  std::string call;
  std::vector<Operand> reads, writes;
  Operand workspace;              // of 0 bytes: none
  std::function<void()> compute;  // reads and writes the operands
};

/// Gives it to the stream, where it is done as late as any kernel, or records it. Memory is checked when it is done: an operand outside of
/// the device's memory is a fault that sticks. The workspace is filled with rubbish first, since no call may find there what another left.
cudaError_t enqueue(Runtime& runtime, cudaStream_t stream, LibraryWork work);

/// Empty, or a sentence: two operands share memory, and one of them is written.
std::string overlap_in(const LibraryWork& work);

/// `count` elements as f32, and back, rounded to nearest once.
std::vector<float> floats_at(const void* address, DType dtype, int64_t count);
void store_floats(std::span<const float> values, void* address, DType dtype);
/// As a value of this type has it.
void round_to(DType dtype, std::span<float> values);

}  // namespace mirilla::emulate
