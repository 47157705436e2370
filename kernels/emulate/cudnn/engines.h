// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/emulate/cudnn/graph.h"

#include <span>
#include <string>
#include <utility>
#include <vector>

namespace mirilla::emulate::cudnn {

/// One of the ways to compute a graph, with the properties that a choice between cuDNN's engines has to look at. All that keep f32 sums
/// in a fixed order give the same bits; the others do what their notes say, so that a program that takes one against its rules shows it.
struct Engine {
  struct Knob {
    cudnnBackendKnobType_t type;
    int64_t most;  // its values are 0 to this
  };
  std::vector<cudnnBackendNumericalNote_t> notes = {};
  std::vector<cudnnBackendBehaviorNote_t> behaviors = {};
  std::vector<Knob> knobs = {};
  bool fuses = false;         // other operations with the convolution
  bool any_types = false;     // of what is added to it
  bool whole_vectors = true;  // channels and filters in whole vectors of 16 bytes, 8 for pictures of 4 channels
  bool needs_workspace = false;
};

enum EngineIndex : int64_t { kPlain, kTiles, kFusion, kAnyOrder, kShortSums, kTf32 };

std::span<const Engine> engines();
/// Empty, or why the engine cannot compute the graph.
std::string why_not(const Graph& graph, int64_t engine);
int64_t workspace_of(const Graph& graph, int64_t engine);

struct Suggestion {
  int64_t engine;
  std::vector<std::pair<cudnnBackendKnobType_t, int64_t>> choices = {};
};
/// Best first.
std::vector<Suggestion> suggestions(const Graph& graph, cudnnBackendHeurMode_t mode);

}  // namespace mirilla::emulate::cudnn
