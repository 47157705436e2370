// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "data/draw/colormap.h"
#include "nn/explain/cam_image.h"
#include "nn/explain/target.h"

namespace mirilla::nn {

/// Work that is split: how many changed pictures, or channels, run at once, and what is told about it.
struct BatchOptions {
  int64_t batch_size = 32;
  std::function<void(int64_t done, int64_t total)> progress = {};  // changed pictures; channels in scorecam and ablationcam
};

/// How to explain a picture, for cam() (nn/explain/cam.h) and explain() (nn/explain/explain.h).
struct ExplainOptions {
  std::string method = "gradcam";                // a name of explanation_methods(); of cam_methods() for cam()
  std::vector<std::string> layers = {"layer4"};  // of the CAMs; guided-gradcam takes the first
  std::vector<Target> targets = {};              // one for each picture, one for all, or none: the likeliest class of each
  CamStyle style = CamStyle::course;             // of the CAMs, as `fuse` and `smooth`
  Fuse fuse = Fuse::none;
  bool smooth = false;  // by augmentation
  int64_t samples = 0;  // steps of integrated, noisy pictures of smoothgrad; 0: their own number
  int window = 0;       // of occlusion, as `stride`; 0: its own
  int stride = 0;
  uint64_t seed = 42;                            // of smoothgrad
  BatchOptions batch = {};                       // of the methods that ask the network many times
  const data::Colormap* colors = &data::kMagma;  // of panels_of
};

}  // namespace mirilla::nn
