// SPDX-License-Identifier: MIT
#include "nn/train/late_losses.h"

#include <cstring>
#include <utility>

namespace mirilla::nn {

namespace {

constexpr size_t kRoom = 64;  // losses in flight: the ring of inputs stops the host long before

double read(const std::byte* address, DType dtype) {
  return dispatch_real(dtype, "a late loss", [&]<class T>() {
    T value;
    std::memcpy(&value, address, sizeof value);
    return static_cast<double>(value);
  });
}

}  // namespace

LateLosses::LateLosses(Device& device) : memory_(device, kRoom * sizeof(double)) {}

LateLosses::~LateLosses() {
  try {
    all();
  } catch (const Error&) {  // the device has failed and writes nothing any more
  }
}

void LateLosses::send(int64_t step, const Tensor& loss) {
  if (loss.numel() != 1) throw ShapeError(fmt::format("expected one number as the loss, got {}", describe(loss)));
  if (under_way_.size() == kRoom) take_first();
  Device& device = memory_.device();
  const size_t place = next_++ % kRoom;
  const ConstView from = loss;
  device.copy_to_pinned(memory_.address() + place * sizeof(double), from.address, size_of(from.dtype));
  under_way_.push_back({.step = step, .place = place, .dtype = from.dtype, .mark = device.mark()});
}

void LateLosses::take_first() {
  const Sent& first = under_way_.front();
  first.mark->wait();
  arrived_.push_back({.step = first.step, .value = read(memory_.address() + first.place * sizeof(double), first.dtype)});
  under_way_.pop_front();
}

std::vector<LateLosses::Loss> LateLosses::arrived() {
  while (!under_way_.empty() && under_way_.front().mark->reached()) take_first();
  return std::exchange(arrived_, {});
}

std::vector<LateLosses::Loss> LateLosses::all() {
  while (!under_way_.empty()) take_first();
  return std::exchange(arrived_, {});
}

}  // namespace mirilla::nn
