// SPDX-License-Identifier: MIT
// ResNet18 with fastai's head against torchvision's, in training and evaluation, in double, single and half precision.
#include <gtest/gtest.h>

#include <algorithm>

#include "engine/amp/autocast.h"
#include "engine/amp/grad_scaler.h"
#include "kernels/devices.h"
#include "tests/oracle/resnet_truth.h"
#include "tests/parity/row.h"

namespace mirilla::parity {
namespace {

using nn::NamedTensor;
using nn::ResNet;
using nn::Watch;

struct Network {
  Network(const char* name, DType dtype) : device(open_device(name)), model({.classes = 6}, {.device = device, .dtype = dtype}) {
    truth.fill(model);
  }
  std::vector<Watch> watch_layers() {
    std::vector<Watch> layers;
    for (const char* name : {"layer1", "layer2", "layer3", "layer4"}) layers.push_back(model.watch(name));
    return layers;
  }

  test::ResNetTruth truth;
  Device& device;
  ResNet model;
};

/// Relative distances from the truth.
struct Distances {
  double logits = 0, loss = 0;
  double layers = 0;  // of the worst
  std::vector<double> gradients, statistics;

  double forward() const { return std::max({logits, loss, layers}); }
};

double worst(const std::vector<double>& distances) {
  double worst = 0;
  for (const double distance : distances) worst = distance <= worst ? worst : distance;  // NaN counts as the worst
  return worst;
}

double root_mean_square(const std::vector<double>& distances) {
  double sum = 0;
  for (const double distance : distances) sum += distance * distance;
  return std::sqrt(sum / static_cast<double>(distances.size()));
}

Distances train(Network& network, DType input, const Tensor& scale = {}) {
  const test::ResNetTruth& truth = network.truth;
  std::vector<NamedTensor> parameters = network.model.parameters(), buffers = network.model.buffers();
  const std::vector<Watch> layers = network.watch_layers();
  const amp::Autocast autocast(is_half(input) ? input : DType::f32);
  const Tensor logits = network.model(truth.pictures(network.device, input));
  const Tensor loss = truth.loss_of(logits);
  tape::backward(loss, {.factor = amp::factor_of(scale)});
  Distances out{.logits = truth.of_values("train.logits", logits), .loss = truth.of_values("train.loss", loss)};
  for (const Watch& layer : layers) out.layers = std::max(out.layers, truth.of_tensor("train", layer.name(), layer.activation()));
  for (const NamedTensor& named : parameters) out.gradients.push_back(truth.of_tensor("train", named.name, named.tensor.grad()));
  for (const NamedTensor& named : buffers) out.statistics.push_back(truth.of_tensor("train", named.name, named.tensor));
  return out;
}

/// The worst of logits, loss and layers in evaluation; with batch norms folded into convolutions, without the layers.
double evaluate(Network& network, bool folded) {
  const test::ResNetTruth& truth = network.truth;
  network.model.evaluate();
  const tape::NoGrad no_grad;
  const std::vector<Watch> layers = folded ? std::vector<Watch>() : network.watch_layers();
  const Tensor logits = network.model(truth.pictures(network.device, network.model.parameters()[0].tensor.dtype()));
  double worst = std::max(truth.of_values("eval.logits", logits), truth.of_values("eval.loss", truth.loss_of(logits)));
  for (const Watch& layer : layers) worst = std::max(worst, truth.of_tensor("eval", layer.name(), layer.activation()));
  return worst;
}

constexpr const char* kOfNorm = "of each tensor's norm, the largest";

TEST(NetworkParity, InDouble) {
  constexpr double kDouble = 1e-11;
  Network network("reference", DType::f64);
  const double folded = evaluate(network, true), plain = evaluate(network, false);
  network.model.train();
  const Distances trained = train(network, DType::f64);
  const std::string because = "two double sums in different order; the network enlarges their rounding up to a thousand times";
  report({"network.train-f64", "a training step of ResNet18 in double: logits, loss, layers, every gradient, running statistics",
          network.truth.made_with() + " in float64", std::max({trained.forward(), worst(trained.gradients), worst(trained.statistics)}),
          kDouble, kOfNorm, because});
  report({"network.eval-f64", "ResNet18 in evaluation, in double, batch norms folded and not: logits, loss, layers",
          network.truth.made_with() + " in float64", std::max(folded, plain), kDouble, kOfNorm, because});
}

TEST(NetworkParity, InSingle) {
  constexpr double kSingle = 1e-5, kStatistics = 2e-6;
  Network network("cpu", DType::f32);
  const double folded = evaluate(network, true), plain = evaluate(network, false);
  network.model.train();
  const Distances trained = train(network, DType::f32);
  const nlohmann::json pytorchs = network.truth.pytorchs_own("f32");
  const std::string against = network.truth.made_with() + " in float64";
  report({"network.train-f32", "a training step of ResNet18 in f32: logits, loss, layers", against, trained.forward(), kSingle, kOfNorm,
          "f32 sums of up to 4608 products; PyTorch's own f32 has logits " + fmt::format("{:.1e}", pytorchs["logits"].get<double>()) +
              " off"});
  report({"network.gradients-f32", "every named gradient of ResNet18 in f32", against, worst(trained.gradients), kSingle, kOfNorm,
          fmt::format("f32 sums there and back; PyTorch's own f32 is {:.1e} off", pytorchs["gradients"].get<double>())});
  report({"network.statistics-f32", "running means and variances after a training step in f32", against, worst(trained.statistics),
          kStatistics, kOfNorm, "a tenth of them is new, and has the error of f32's activations"});
  report({"network.eval-f32", "ResNet18 in evaluation in f32, batch norms folded and not: logits, loss, layers", against,
          std::max(folded, plain), kSingle, kOfNorm, "f32 sums of up to 4608 products"});
}

/// The logits, gradients and statistics of a training step.
struct Step {
  Tensor logits;
  std::vector<NamedTensor> gradients, statistics;
};

Step step_of(const char* device, DType dtype, DType input, const std::string& batch, const Tensor& scale = {}) {
  Network network(device, dtype);
  const amp::Autocast autocast(is_half(input) ? input : DType::f32);
  const Tensor logits = network.model(network.truth.pictures(network.device, input, batch));
  tape::backward(network.truth.loss_of(logits), {.factor = amp::factor_of(scale)});
  Step step{.logits = logits, .statistics = network.model.buffers()};
  for (const NamedTensor& named : network.model.parameters()) step.gradients.push_back({named.name, named.tensor.grad()});
  return step;
}

double distance(const Tensor& came, const Tensor& wanted) {
  const std::vector<double> a = came.to_doubles(), b = wanted.to_doubles();
  double difference = 0, norm = 0;
  for (size_t i = 0; i < b.size(); ++i) {
    difference += (a[i] - b[i]) * (a[i] - b[i]);
    norm += b[i] * b[i];
  }
  return std::sqrt(difference / norm);
}

/// Root mean square over the tensors whose names begin like this.
double distance(const std::vector<NamedTensor>& came, const std::vector<NamedTensor>& wanted, std::initializer_list<const char*> begins) {
  std::vector<double> distances;
  for (size_t i = 0; i < wanted.size(); ++i)
    if (std::any_of(begins.begin(), begins.end(), [&](const char* begin) { return wanted[i].name.starts_with(begin); }))
      distances.push_back(distance(came[i].tensor, wanted[i].tensor));
  return root_mean_square(distances);
}

/// Distances per batch, of one kind of tensor.
struct Ours {
  std::vector<double> logits, statistics, gradients, head;
};

void report_half(const std::string& half, const Ours& ours, const test::ResNetTruth& truth) {
  const std::string against = truth.made_with() + "'s torch.autocast(\"cpu\")", unit = "of PyTorch's own distance from float64";
  const auto report_kind = [&](const std::string& kind, const std::vector<double>& distances, const std::string& what, double tolerance,
                               const std::string& because) {
    const std::vector<double> theirs = truth.pytorchs_own(half)[kind];
    report({"network." + half + "-" + kind, what + " in training under autocast in " + half + ", root mean square over 4 batches", against,
            root_mean_square(distances) / root_mean_square(theirs), tolerance, unit, because});
  };
  report_kind("statistics", ours.statistics, "running means and variances", 1.03,
              "no further than PyTorch; over 4 batches PyTorch's two memory formats differ by 2 %");
  report_kind("logits", ours.logits, "logits", 1.15,
              "no further than PyTorch but for chance: 192 numbers; PyTorch's two memory formats differ by up to 30 % in a batch");
  report_kind("head", ours.head, "gradients behind the last ReLU", 1.15, "as the logits, from which they come");
  report_kind("gradients", ours.gradients, "every gradient", 1.25,
              "no further than PyTorch but for chance: roundings turn the signs of ReLUs, and PyTorch's two memory formats differ by up to "
              "45 % in a batch of f16");
}

TEST(NetworkParity, UnderAutocast) {
  const test::ResNetTruth truth;
  Ours f16, bf16;
  for (const char* batch : test::ResNetTruth::kBatches) {
    const Step wanted = step_of("reference", DType::f64, DType::f64, batch);  // as PyTorch's float64: see InDouble
    for (Ours* ours : {&f16, &bf16}) {
      const amp::GradScaler scaler(open_device("cpu"), {.initial = truth.pytorchs_own("f16")["scale"].get<double>()});
      const Step came =
          ours == &f16 ? step_of("cpu", DType::f32, DType::f16, batch, scaler.state()) : step_of("cpu", DType::f32, DType::bf16, batch);
      ours->logits.push_back(distance(came.logits, wanted.logits));
      ours->statistics.push_back(distance(came.statistics, wanted.statistics, {""}));
      ours->gradients.push_back(distance(came.gradients, wanted.gradients, {""}));
      ours->head.push_back(distance(came.gradients, wanted.gradients, {"head.6", "head.8"}));
    }
  }
  report_half("f16", f16, truth);
  report_half("bf16", bf16, truth);
}

}  // namespace
}  // namespace mirilla::parity
