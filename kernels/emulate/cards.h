// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

namespace mirilla::emulate {

/// What a program can ask a GPU about itself, as far as ours do.
struct Card {
  std::string_view key;   // in MIRILLA_EMULATE
  std::string_view name;  // as the driver gives it
  int major = 0, minor = 0;
  int multiprocessors = 0;
  int threads_per_multiprocessor = 0;
  int blocks_per_multiprocessor = 0;
  size_t shared_per_multiprocessor = 0;
  size_t shared_per_block = 0;  // the most, with the opt-in
  size_t memory_bytes = 0;
  size_t l2_bytes = 0;
  int bus_bits = 0;
  int clock_khz = 0, memory_khz = 0;

  int capability() const { return major * 10 + minor; }
};

std::span<const Card> cards();
/// Throws UsageError with the names that exist.
const Card& find_card(std::string_view key);

}  // namespace mirilla::emulate
