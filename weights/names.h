// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "weights/state_dict.h"

namespace mirilla::weights {

/// What other programs call the tensors of a ResNet, in our names.
struct ModelNames {
  std::vector<std::string> names;  // of each tensor, in the file's order
  std::string prefix;              // what was removed before the names: "model.", "_orig_mod.module."; empty for nothing
};

/// Known spellings:
///   torchvision, timm  conv1.weight, layer1.0.conv1.weight, fc.weight            as they are; so are our own, with the head as
///   head.<index>.* fastai             0.0.weight, 0.4.0.conv1.weight, 1.2.weight                Sequential(body, head): 0.<child of the
///   body>,
///                                                                                1.<child of create_head>
///   Hugging Face       resnet.embedder.embedder.convolution.weight, resnet.encoder.stages.0.layers.1.layer.0.normalization.bias,
///                      resnet.encoder.stages.1.layers.0.shortcut.convolution.weight, classifier.1.weight
/// each perhaps with a prefix before all names but those of counters: DataParallel's `module.`, torch.compile's `_orig_mod.`, the name that
/// a Lightning module gives its network, or several. fastai's body children are conv1, bn1, relu, maxpool, layer1 ... layer4; 1.<index>
/// becomes head.<index>.
///   [fastai/vision/learner.py create_body, create_head; transformers/models/resnet/modeling_resnet.py]
ModelNames names_in(const StateDict& state);
std::vector<std::string> model_names(const StateDict& state);

/// Our spelling, torchvision's, and fastai's Sequential(body, head).
enum class Naming { ours, torchvision, fastai };
/// One of our names as another program spells it. Throws WeightsError where it has no such tensor: fastai's head in torchvision's ResNet,
/// and torchvision's fc behind fastai's body.
std::string spelled(std::string_view ours, Naming naming);

}  // namespace mirilla::weights
