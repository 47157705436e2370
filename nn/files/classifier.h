// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "nn/files/model_file.h"
#include "nn/modules/module.h"

namespace mirilla::nn {

/// A network and all that it takes to use it: the names of its classes, the sizes it sees pictures at, and where it computes.
struct Classifier {
  std::unique_ptr<Module> network;
  ModelInfo info;
  std::vector<std::string> notes = {};  // lines for a person: what was assumed or left out when it was read

  const std::vector<std::string>& classes() const { return info.vocabulary; }
  /// Where its parameters lie. Throws Error for a network without any.
  Device& device() const;
};

/// A network of your own that gives logits (N,classes).
Classifier classifier(std::unique_ptr<Module> network, std::vector<std::string> classes);

/// For training: the ResNet in a file of weights (.pth or .safetensors), its body with the file's values (import_body) and a new head of
/// fastai's form for these classes, whose initial values `seed` draws. Throws UsageError for fewer than two classes, else as import_body.
Classifier classifier(const std::filesystem::path& weights, std::vector<std::string> classes, Device& device, uint64_t seed = 42);

/// A trained model as it is in its file: load_model.
Classifier classifier(const std::filesystem::path& model, Device& device);

/// save_model.
void save(const std::filesystem::path& path, const Classifier& model);

}  // namespace mirilla::nn
