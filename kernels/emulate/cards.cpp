// SPDX-License-Identifier: MIT
#include "kernels/emulate/cards.h"

#include "kernels/core/error.h"

namespace mirilla::emulate {

namespace {

constexpr size_t kKiB = 1024, kMiB = 1024 * kKiB;

// Threads, blocks and shared memory: CUDA C++ Programming Guide 13.0, "Technical Specifications per Compute Capability". Multiprocessors,
// L2, bus and clocks: NVIDIA's architecture white papers (Ampere GA100, Hopper, Ada, Blackwell RTX). Memory: the total that nvidia-smi
// shows.
constexpr Card kCards[]{
    {"h200", "NVIDIA H200", 9, 0, 132, 2048, 32, 228 * kKiB, 227 * kKiB, 143771 * kMiB, 50 * kMiB, 6144, 1980000, 3201000},
    {"h100", "NVIDIA H100 80GB HBM3", 9, 0, 132, 2048, 32, 228 * kKiB, 227 * kKiB, 81559 * kMiB, 50 * kMiB, 5120, 1980000, 2619000},
    {"a100", "NVIDIA A100-SXM4-80GB", 8, 0, 108, 2048, 32, 164 * kKiB, 163 * kKiB, 81920 * kMiB, 40 * kMiB, 5120, 1410000, 1593000},
    {"rtx4090", "NVIDIA GeForce RTX 4090", 8, 9, 128, 1536, 24, 100 * kKiB, 99 * kKiB, 24564 * kMiB, 72 * kMiB, 384, 2520000, 10501000},
    {"rtx5090", "NVIDIA GeForce RTX 5090", 12, 0, 170, 1536, 24, 100 * kKiB, 99 * kKiB, 32607 * kMiB, 96 * kMiB, 512, 2407000, 14001000},
};

}  // namespace

std::span<const Card> cards() { return kCards; }

const Card& find_card(std::string_view key) {
  std::string known;
  for (const Card& card : kCards) {
    if (card.key == key) return card;
    known += (known.empty() ? "" : ", ") + std::string(card.key);
  }
  throw UsageError(fmt::format("there is no GPU '{}' to emulate", key), fmt::format("MIRILLA_EMULATE takes {}", known));
}

}  // namespace mirilla::emulate
