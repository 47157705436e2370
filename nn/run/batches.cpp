// SPDX-License-Identifier: MIT
#include "nn/run/batches.h"

#include <algorithm>
#include <charconv>
#include <limits>

#include "kernels/core/error.h"

namespace mirilla::nn {

namespace {

constexpr uint64_t kShareOfFree = 4;  // a quarter; the network's activations need the rest

uint64_t wanted_bytes(const PartOptions& part) {
  const auto side = static_cast<uint64_t>(part.dataset->resize());
  return (part.loading.training ? part.dataset->train() : part.dataset->valid()).size() * side * side * 3;
}

bool is_fed(const Device& device, DevicePictures pictures) { return !device.host_addressable() || pictures.bytes.value_or(0) > 0; }

std::unique_ptr<Batches> make(const PartOptions& part, Device& device, bool fed, uint64_t keep_bytes) {
  if (fed) return std::make_unique<FeedBatches>(part.dataset, part.loading, device, keep_bytes);
  return std::make_unique<LoaderBatches>(part.dataset, part.loading);
}

}  // namespace

DevicePictures parse_device_pictures(std::string_view text) {
  if (text == "auto") return {};
  if (text == "off") return {.bytes = 0};
  constexpr std::string_view kUnits = "KMG";
  const size_t unit = text.empty() ? std::string_view::npos : kUnits.find(text.back());
  const int shift = unit == std::string_view::npos ? 0 : 10 * (static_cast<int>(unit) + 1);
  const std::string_view digits = text.substr(0, text.size() - (shift > 0 ? 1 : 0));
  uint64_t bytes = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), bytes);
  if (digits.empty() || error != std::errc() || end != digits.data() + digits.size() ||
      bytes > std::numeric_limits<uint64_t>::max() >> shift)
    throw UsageError(fmt::format("expected auto, off or a number of bytes, got '{}'", text), "8G is 8 x 1024^3 bytes");
  return {.bytes = bytes << shift};
}

std::unique_ptr<Batches> make_batches(const PartOptions& part, Device& device, DevicePictures pictures) {
  return make(part, device, is_fed(device, pictures), pictures.bytes.value_or(device.free_bytes() / kShareOfFree));
}

std::pair<std::unique_ptr<Batches>, std::unique_ptr<Batches>> make_batches(const PartOptions& train, const PartOptions& valid,
                                                                           Device& device, DevicePictures pictures) {
  const bool fed = is_fed(device, pictures);
  const uint64_t all = pictures.bytes.value_or(device.free_bytes() / kShareOfFree), first = std::min(all, wanted_bytes(train));
  return {make(train, device, fed, first), make(valid, device, fed, std::min(all - first, wanted_bytes(valid)))};
}

}  // namespace mirilla::nn
