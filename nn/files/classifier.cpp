// SPDX-License-Identifier: MIT
#include "nn/files/classifier.h"

#include "kernels/core/error.h"
#include "nn/modules/resnet.h"
#include "weights/read.h"

namespace mirilla::nn {

namespace {

void check(const std::vector<std::string>& classes) {
  if (classes.size() < 2) throw UsageError(fmt::format("a classifier needs at least two classes, got {}", classes.size()));
}

}  // namespace

Device& Classifier::device() const {
  const std::vector<NamedTensor> parameters = network->parameters();
  if (parameters.empty()) throw Error("a model without parameters has no device");
  return parameters[0].tensor.device();
}

Classifier classifier(std::unique_ptr<Module> network, std::vector<std::string> classes) {
  check(classes);
  return {.network = std::move(network), .info = {.vocabulary = std::move(classes)}};
}

Classifier classifier(const std::filesystem::path& weights, std::vector<std::string> classes, Device& device, uint64_t seed) {
  check(classes);
  const ResNetSpec spec{.arch = architecture_in(weights), .classes = static_cast<int>(classes.size()), .seed = seed};
  Classifier model = classifier(std::make_unique<ResNet>(spec, Placement{.device = device}), std::move(classes));
  model.notes.push_back(weights::describe(import_body(*model.network, weights)));
  return model;
}

Classifier classifier(const std::filesystem::path& model, Device& device) {
  LoadedModel loaded = load_model(model, {}, {.device = device});
  return {.network = std::move(loaded.model), .info = std::move(loaded.info), .notes = std::move(loaded.notes)};
}

void save(const std::filesystem::path& path, const Classifier& model) { save_model(path, *model.network, model.info); }

}  // namespace mirilla::nn
