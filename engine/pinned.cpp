// SPDX-License-Identifier: MIT
#include "engine/pinned.h"

namespace mirilla {

namespace {

size_t aligned(size_t bytes) {
  constexpr size_t kAlignment = 64;
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

}  // namespace

PinnedRing::PinnedRing(Device& device, size_t bytes, size_t turns)
    : bytes_(aligned(bytes)), memory_(device, bytes_ * turns), marks_(turns) {}

PinnedRing::~PinnedRing() {
  try {
    for (const auto& mark : marks_)
      if (mark) mark->wait();
  } catch (const Error&) {  // the device failed and reads nothing any more
  }
}

std::byte* PinnedRing::next() {
  turn_ = (turn_ + 1) % marks_.size();
  if (marks_[turn_] && !marks_[turn_]->reached()) marks_[turn_]->wait();
  marks_[turn_] = nullptr;
  return memory_.address() + turn_ * bytes_;
}

void PinnedRing::sent() { marks_[turn_] = memory_.device().mark(); }

}  // namespace mirilla
