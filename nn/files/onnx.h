// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>

#include "nn/files/model_file.h"
#include "weights/state_dict.h"

namespace mirilla::nn {

struct OnnxOptions {
  /// The network takes RGB values from 0 to 1 and normalises them itself; otherwise it takes normalised pictures.
  bool normalise = true;
};

/// A ResNet as an ONNX model: opset 17, f32, in evaluation mode.   [onnx/onnx.proto, its operators]
///
///   pictures  (batch,3,height,width), all three free; RGB, values from 0 to 1 if normalised inside
///   logits    (batch,classes)
///
/// Names of nodes and initializers are the modules' and the parameters' (layer1.0.conv1.weight). Metadata: vocab (JSON), resize, size, mean
/// and std (JSON), as far as `info` has them.
///
/// `state` is a file's contents under any names that weights::model_names knows. Throws WeightsError where it has no whole ResNet with a
/// head. Written whole or not at all. Throws Error where the file cannot be written.
void write_onnx(const std::filesystem::path& path, const weights::StateDict& state, const ModelInfo& info, const OnnxOptions& options = {});

}  // namespace mirilla::nn
