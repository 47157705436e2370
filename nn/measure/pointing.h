// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <functional>

#include "data/dataset.h"
#include "nn/modules/module.h"
#include "nn/run/evaluate.h"

namespace mirilla::nn {

/// The pointing game: does Grad-CAM's largest value lie on the evidence?
///                                                                                         [Zhang et al. 2016, "Top-down neural attention"]
struct Pointing {
  int64_t n = 0;      // pictures classified right with a mask
  int64_t hits = 0;   // those of them whose maximum lies in the mask
  double share = 0;   // hits / n
  double random = 0;  // the expected share for a uniformly random point: the masks' mean share
};

/// Plays the game over the pictures of `evaluation` that were classified right and whose source has a mask (data::mask_path), with the map
/// of `layer` for the predicted class. The point is the centre of the map's largest cell. Calls `progress(done, total)` meanwhile. All zero
/// if none was classified right. Throws DataError if none of those has a mask.
Pointing play_pointing(Module& model, const data::Dataset& dataset, const Evaluation& evaluation, const ModelInfo& info,
                       const std::string& layer, const std::function<void(int64_t done, int64_t total)>& progress = {});

}  // namespace mirilla::nn
