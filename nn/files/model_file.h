// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "data/augment.h"
#include "nn/modules/resnet.h"
#include "weights/flaws.h"
#include "weights/match.h"
#include "weights/state_dict.h"

namespace mirilla::nn {

/// What a classifier needs beside its weights.
struct ModelInfo {
  std::vector<std::string> vocabulary;  // one name per class
  int resize = 256;                     // pictures are cropped and resized to this first
  int size = 128;                       // the network's input size
  std::array<float, 3> mean = data::kImageNetMean;
  std::array<float, 3> std = data::kImageNetStd;
  bool exif_rotate = false;  // whether pictures are turned by their EXIF orientation (data::DecodeOptions) when they are read for the model
};

/// Our file: .safetensors with every parameter and buffer under torchvision's name (the head as head.<index>.*) in PyTorch's layout, so
/// that others can read it, and the metadata format "mirilla", version "1", what Module::description says (architecture, and of a ResNet
/// head), vocabulary (JSON), resize, size, mean and std (JSON); exif_rotate where it is on; and, where a GPU's library computed, its plans
/// (kernels/plans/chosen_plans.h).
weights::StateDict to_state_dict(const Module& model, const ModelInfo& info);
/// Written whole or not at all. Throws Error where it cannot be written.
void save_model(const std::filesystem::path& path, const Module& model, const ModelInfo& info);

/// Settings from the user that override those in a model's file.
struct ModelOverrides {
  std::optional<std::vector<std::string>> vocabulary;
  std::optional<int> resize;
  std::optional<int> size;
  std::optional<bool> exif_rotate;
  bool allow_nonfinite = false;  // as in ImportOptions
};

struct ImportOptions {
  /// Loads weights that are not finite, and negative variances; otherwise they are refused, and the model stays unchanged.
  bool allow_nonfinite = false;
  std::function<void(const std::string& line)> warn = {};  // told which they are, if they are loaded
};

struct LoadedModel {
  std::unique_ptr<ResNet> model;  // in evaluation mode
  ModelInfo info;
  std::vector<std::string> notes;  // lines for the user: what was assumed or left out
};

/// A ResNet from a file, told by its content: ours; torchvision's resnets (.pth or .safetensors), with its `fc` as the classifier;
/// fastai's learn.save of a vision_learner. Architecture and number of classes come from the tensors. A file without a vocabulary gets
/// class numbers for names, with a note. Throws WeightsError for anything else, for missing or mis-shaped tensors, and FlawedWeights;
/// UsageError where the vocabulary lacks a name for a class or has too many.
LoadedModel load_model(const std::filesystem::path& path, const ModelOverrides& overrides, Placement placement);

/// What a file's names and shapes say about the network.
struct NetworkInFile {
  std::string arch;          // one of architectures()
  std::optional<Head> head;  // none: a body alone
  int classes = 0;           // of the head
};
/// Throws WeightsError, naming `origin`, for anything but a ResNet of architectures().
NetworkInFile network_in(const weights::StateDict& state, std::string_view origin);
/// What our own file says beside its weights; another's: the defaults, and no vocabulary. Throws WeightsError where ours is damaged.
ModelInfo info_in(const weights::StateDict& state, std::string_view origin);
/// The architecture in a file.
std::string architecture_in(const std::filesystem::path& path);

/// Overwrites a model's values with those of our own file of the same model. Throws WeightsError where they do not fit, and FlawedWeights.
void load_weights(Module& model, const std::filesystem::path& path);

/// For --weights: the body's values from any of the files above; the head keeps its own. The report says what matched and what was left out
/// (weights::describe gives lines). Throws WeightsError where a tensor of the body is missing or has another shape, or nothing fits;
/// FlawedWeights for those of the body.
weights::Report import_body(Module& model, const std::filesystem::path& path, const ImportOptions& options = {});

/// For --init-head: the values of the head's tensors (head.*) from a file; other tensors in it are ignored. Throws WeightsError where one
/// of them is missing or has another shape, FlawedWeights.
weights::Report load_head(Module& model, const std::filesystem::path& path, const ImportOptions& options = {});

}  // namespace mirilla::nn
