// SPDX-License-Identifier: MIT
// LibTorch in tools/gpu-check's races, from C++: the same protocol as bench/torch_race.py in eager mode. tools/gpu_check/contender.py
// builds it against the LibTorch inside PyTorch's wheel; it is not part of the build.
//
//   torch_race DEVICE      cuda or cpu
#include <ATen/autocast_mode.h>
#include <torch/torch.h>

#include <chrono>
#include <cmath>
#include <iostream>
#include <map>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "bench/race_rule.h"

namespace {

namespace nn = torch::nn;
using torch::Tensor;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

nn::Conv2d conv(int64_t in, int64_t out, int64_t kernel, int64_t stride, int64_t padding) {
  return nn::Conv2d(nn::Conv2dOptions(in, out, kernel).stride(stride).padding(padding).bias(false));
}

struct BlockImpl : nn::Module {
  BlockImpl(int64_t in, int64_t out, int64_t stride)
      : conv1(conv(in, out, 3, stride, 1)), bn1(out), conv2(conv(out, out, 3, 1, 1)), bn2(out) {
    register_module("conv1", conv1);
    register_module("bn1", bn1);
    register_module("conv2", conv2);
    register_module("bn2", bn2);
    if (in != out) downsample = register_module("downsample", nn::Sequential(conv(in, out, 1, stride, 0), nn::BatchNorm2d(out)));
  }
  Tensor forward(const Tensor& x) {
    const Tensor y = bn2(conv2(bn1(conv1(x)).relu_()));
    return (y + (downsample.is_empty() ? x : downsample->forward(x))).relu_();
  }

  nn::Conv2d conv1;
  nn::BatchNorm2d bn1;
  nn::Conv2d conv2;
  nn::BatchNorm2d bn2;
  nn::Sequential downsample{nullptr};
};
TORCH_MODULE(Block);

struct HeadImpl : nn::Module {
  HeadImpl() : norm1(1024), linear1(nn::LinearOptions(1024, 512).bias(false)), norm2(512), linear2(nn::LinearOptions(512, 6).bias(false)) {
    register_module("2", norm1);  // named as in fastai
    register_module("4", linear1);
    register_module("6", norm2);
    register_module("8", linear2);
  }
  Tensor forward(const Tensor& x) {
    const Tensor pooled =
        torch::cat({std::get<0>(torch::adaptive_max_pool2d(x, {1, 1})), torch::adaptive_avg_pool2d(x, {1, 1})}, 1).flatten(1);
    return linear2(norm2(linear1(norm1(pooled)).relu_()));
  }

  nn::BatchNorm1d norm1;
  nn::Linear linear1;
  nn::BatchNorm1d norm2;
  nn::Linear linear2;
};
TORCH_MODULE(Head);

struct ResNet18 : nn::Module {
  ResNet18() : conv1(conv(3, 64, 7, 2, 3)), bn1(64) {
    register_module("conv1", conv1);
    register_module("bn1", bn1);
    int64_t in = 64;
    for (const int64_t out : {64, 128, 256, 512}) {
      layers.push_back(nn::Sequential(Block(in, out, in == out ? 1 : 2), Block(out, out, 1)));
      register_module("layer" + std::to_string(layers.size()), layers.back());
      in = out;
    }
    register_module("head", head);
  }
  Tensor forward(const Tensor& pictures) {
    Tensor x = torch::max_pool2d(bn1(conv1(pictures)).relu_(), 3, 2, 1);
    for (nn::Sequential& layer : layers) x = layer->forward(x);
    return head(x);
  }

  nn::Conv2d conv1;
  nn::BatchNorm2d bn1;
  std::vector<nn::Sequential> layers;
  Head head;
};

void fill(ResNet18& model) {
  const torch::NoGradGuard no_grad;
  for (auto& named : model.named_parameters()) {
    Tensor& to = named.value();
    const int64_t fan_in = to.dim() > 1 ? to.numel() / to.size(0) : 0;
    std::vector<float> values = mirilla::race::parameter(named.key(), to.numel(), fan_in);
    to.copy_(torch::from_blob(values.data(), to.sizes()));
  }
}

/// AdamW in one kernel per group, and torch.amp.GradScaler's arithmetic on the device: LibTorch has the kernels, but no class for them.
class Optimizer {
 public:
  Optimizer(ResNet18& model, torch::Device device, bool scaled) {
    const auto f32 = torch::dtype(torch::kFloat32).device(device);
    for (const Tensor& parameter : model.parameters()) {
      Group& group = groups_[parameter.dim() > 1 ? 0 : 1];
      group.parameters.push_back(parameter);
      group.means.push_back(torch::zeros_like(parameter));
      group.squares.push_back(torch::zeros_like(parameter));
      group.steps.push_back(torch::zeros({}, f32));
    }
    if (!scaled) return;
    scale_ = torch::full({}, mirilla::race::kScale, f32);
    overflow_ = torch::zeros({}, f32);
    streak_ = torch::zeros({}, torch::dtype(torch::kInt32).device(device));
  }

  Tensor scaled(const Tensor& loss) const { return scale_.defined() ? loss * scale_ : loss; }

  void step() {
    const torch::NoGradGuard no_grad;
    std::vector<Tensor> gradients[2];
    for (size_t g = 0; g < 2; ++g)
      for (const Tensor& parameter : groups_[g].parameters) gradients[g].push_back(parameter.grad());
    std::optional<Tensor> scale, overflow;
    if (scale_.defined()) {
      overflow_.zero_();
      const Tensor one = torch::ones_like(scale_);
      for (const auto& some : gradients) at::_amp_foreach_non_finite_check_and_unscale_(some, overflow_, one);
      scale = scale_, overflow = overflow_;
    }
    for (size_t g = 0; g < 2; ++g) {
      Group& group = groups_[g];
      at::_foreach_add_(group.steps, 1);
      at::_fused_adamw_(group.parameters, gradients[g], group.means, group.squares, {}, group.steps, mirilla::race::kRate,
                        mirilla::race::kMomentum, 0.99, g == 0 ? 0.01 : 0.0, 1e-5, false, false, scale, overflow);
    }
    if (!scale_.defined()) return;
    for (Group& group : groups_)
      at::_foreach_sub_(group.steps, std::vector<Tensor>(group.steps.size(), overflow_));  // a skipped step does not count
    at::_amp_update_scale_(scale_, streak_, overflow_, 2.0, 0.5, 2000);
  }

 private:
  struct Group {
    std::vector<Tensor> parameters, means, squares, steps;
  };
  Group groups_[2];  // with weight decay, without
  Tensor scale_, overflow_, streak_;
};

class Race {
 public:
  Race(torch::Device device, bool training, int64_t batch, int64_t size, const std::string& precision)
      : device_(device), training_(training) {
    if (precision != "fp32") half_ = precision == "fp16" ? torch::kFloat16 : torch::kBFloat16;
    fill(model_);
    model_.to(device);
    for (Tensor& parameter : model_.parameters())
      if (parameter.dim() == 4) parameter.set_data(parameter.contiguous(torch::MemoryFormat::ChannelsLast));
    model_.train(training);
    if (!training && half_) model_.to(*half_);
    std::vector<float> pixels = mirilla::race::pictures(batch, size);
    std::vector<int64_t> labels = mirilla::race::labels(batch);
    pictures_ =
        torch::from_blob(pixels.data(), {batch, size, size, 3}).to(device).to(half_.value_or(torch::kFloat32)).permute({0, 3, 1, 2});
    labels_ = torch::from_blob(labels.data(), {batch}, torch::kInt64).clone().to(device);
    if (training) optimizer_ = std::make_unique<Optimizer>(model_, device, precision == "fp16");
    std::vector<Tensor> first;
    for (int i = 0; i < (training ? mirilla::race::kLosses : 1); ++i)
      first.push_back(training ? train() : torch::cross_entropy_loss(infer().to(torch::kFloat32), labels_));
    for (const Tensor& loss : first) losses_.push_back(loss.item<double>());
    for (int i = 0; i < 3; ++i) step();
    wait();
  }

  std::string run(double seconds, int each) {
    for (int i = 0; i < 2 * each; ++i) step();
    wait();
    std::vector<double> times;
    const Clock::time_point begin = Clock::now();
    while (seconds_since(begin) < seconds || times.size() < 3) {
      const Clock::time_point start = Clock::now();
      for (int i = 0; i < each; ++i) step();
      wait();
      times.push_back(std::round(1e8 * seconds_since(start) / each) / 1e5);
    }
    std::ostringstream text;
    text.precision(9);
    const auto list = [&](const char* name, const std::vector<double>& values) {
      text << '"' << name << "\": [";
      for (size_t i = 0; i < values.size(); ++i) text << (i ? ", " : "") << values[i];
      text << ']';
    };
    text << '{';
    list("times_ms", times);
    text << ", ";
    list("losses", losses_);
    text << '}';
    return text.str();
  }

 private:
  void step() {
    if (training_)
      train();
    else
      infer();
  }

  void wait() const {
    if (device_.is_cuda()) torch::cuda::synchronize();
  }

  Tensor train() {
    for (Tensor& parameter : model_.parameters()) parameter.mutable_grad() = Tensor();
    at::autocast::set_autocast_enabled(device_.type(), half_.has_value());
    if (half_) at::autocast::set_autocast_dtype(device_.type(), *half_);
    const Tensor loss = torch::cross_entropy_loss(model_.forward(pictures_), labels_);
    at::autocast::clear_cache();
    at::autocast::set_autocast_enabled(device_.type(), false);
    optimizer_->scaled(loss).backward();
    optimizer_->step();
    return loss.detach();
  }

  Tensor infer() {
    const c10::InferenceMode inference;
    return model_.forward(pictures_);
  }

  torch::Device device_;
  bool training_;
  std::optional<torch::ScalarType> half_;
  ResNet18 model_;
  Tensor pictures_, labels_;
  std::unique_ptr<Optimizer> optimizer_;
  std::vector<double> losses_;
};

std::string answer(const std::string& line, torch::Device device, std::map<std::string, std::unique_ptr<Race>>& races) {
  std::istringstream words(line);
  std::string what, kind, precision;
  int64_t batch = 0, size = 0;
  words >> what;
  if (what == "about") return "{\"version\": \"LibTorch " TORCH_VERSION "\"}";
  if ((what != "prepare" && what != "race") || !(words >> kind >> batch >> size >> precision)) return "{\"error\": \"not understood\"}";
  const Clock::time_point start = Clock::now();
  std::unique_ptr<Race>& race = races[kind + ' ' + std::to_string(batch) + ' ' + std::to_string(size) + ' ' + precision];
  if (!race) race = std::make_unique<Race>(device, kind == "train", batch, size, precision);
  if (what == "prepare") return "{\"seconds\": " + std::to_string(seconds_since(start)) + "}";
  double seconds = 0;
  int each = 0;
  words >> seconds >> each;
  return race->run(seconds, std::max(each, 1));
}

/// The first line of the error, as a JSON string.
std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text.substr(0, text.find('\n'))) {
    if (c == '"' || c == '\\') out += '\\';
    if (static_cast<unsigned char>(c) >= ' ') out += c;
  }
  return out + '"';
}

}  // namespace

int main(int argc, char** argv) {
  const torch::Device device(argc > 1 ? argv[1] : "cuda");
  at::globalContext().setBenchmarkCuDNN(true);
  at::globalContext().setAllowTF32CuDNN(false);
  if (device.is_cpu()) torch::set_num_threads(1);
  std::map<std::string, std::unique_ptr<Race>> races;
  for (std::string line; std::getline(std::cin, line);) {
    std::string text;
    try {
      text = answer(line, device, races);
    } catch (const std::exception& error) {
      text = "{\"error\": " + quoted(error.what()) + "}";
    }
    std::cout << "> " << text << std::endl;
  }
}
