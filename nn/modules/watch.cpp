// SPDX-License-Identifier: MIT
#include "nn/modules/watch.h"

#include <atomic>

namespace mirilla::nn {

uint64_t Capture::next_id() {
  static std::atomic<uint64_t> last{0};
  return last.fetch_add(1, std::memory_order_relaxed) + 1;
}

const Capture::Call& Watch::at(size_t call) const {
  if (call >= calls())
    throw Error(fmt::format("'{}' is watched, and ran {} times, so there is no call {}", name_, calls(), call),
                "run the model while the watch lives");
  return capture_->calls[call];
}

Tensor Watch::activation(size_t call) const { return at(call).output.tensor(); }

Tensor Watch::gradient(size_t call) const {
  const Tensor gradient = activation(call).grad();
  if (!gradient) throw Error(fmt::format("'{}' got no gradient", name_), "call tape::backward on something computed from its output");
  return gradient;
}

void backward_to(std::span<const Watch> watches, const Tensor& root, tape::BackwardOptions options) {
  for (const Watch& watch : watches)
    for (size_t call = 0; call < watch.calls(); ++call) options.targets.push_back(watch.activation(call));
  if (options.targets.empty()) throw Error("no watched module ran, so there is nothing to compute a gradient for");
  tape::backward(root, options);
}

}  // namespace mirilla::nn
