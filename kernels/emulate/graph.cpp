// SPDX-License-Identifier: MIT
#include "kernels/emulate/capture.h"

#include <algorithm>

using mirilla::emulate::Work;

CUgraphNode_st* CUgraph_st::add(Work work, std::vector<CUgraphNode_st*> after) {
  static mirilla::ptx::u64 numbers = 0;  // the runtime's lock is held
  auto made = std::make_unique<CUgraphNode_st>();
  made->work = std::move(work);
  made->after = std::move(after);
  made->graph = this;
  made->number = ++numbers;
  return nodes.emplace_back(std::move(made)).get();
}

std::vector<const CUgraphNode_st*> CUgraph_st::in_order() const {
  std::vector<const CUgraphNode_st*> order;
  const auto placed = [&](const CUgraphNode_st* node) { return std::find(order.begin(), order.end(), node) != order.end(); };
  for (bool progress = true; progress;) {
    progress = false;
    for (const auto& node : nodes) {
      if (placed(node.get()) || !std::all_of(node->after.begin(), node->after.end(), placed)) continue;
      order.push_back(node.get());
      progress = true;
    }
  }
  return order.size() == nodes.size() ? order : std::vector<const CUgraphNode_st*>{};
}
