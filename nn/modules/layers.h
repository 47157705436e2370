// SPDX-License-Identifier: MIT
#pragma once

#include <mutex>
#include <optional>

#include "engine/ops/batch_norm.h"
#include "engine/ops/dropout.h"
#include "nn/modules/module.h"

namespace mirilla::nn {

/// The device and dtype of a module's parameters.
struct Placement {
  Device& device;
  DType dtype = DType::f32;
};

/// Where a model's parameters are. Throws Error for a model without any.
Placement placement_of(const Module& model);

/// ops/conv2d as a module. Parameters: weight (K,R,S,C), bias (K) if requested. Initialised by kaiming_normal_(fan_out, relu), as
/// in torchvision's resnet.
class Conv2d final : public Module {
 public:
  struct Spec {
    int in = 0;
    int out = 0;
    int kernel = 3;
    Conv2dSpec conv = {};
    bool bias = false;
  };
  Conv2d(const Spec& spec, Placement placement);
  std::string_view kind() const override { return "Conv2d"; }
  bool takes_padded_pictures() const override { return spec_.in == kPictureChannels; }
  const Spec& spec() const { return spec_; }
  Tensor& weight() { return weight_; }
  Tensor bias() const { return bias_; }

 protected:
  Tensor forward(const Tensor& x) override;

 private:
  Spec spec_;
  Tensor& weight_;
  Tensor bias_;
};

/// ops/batch_norm as a module, for (N,H,W,C) and (N,C) alike. Parameters weight, bias (C); buffers running_mean, running_var (C).
class BatchNorm : public Module {
 public:
  BatchNorm(int channels, Placement placement, double initial_bias = 0);
  BatchNormState& state() { return state_; }

  /// `conv`'s weights with this norm's evaluation folded in; kept until one of its source tensors changes its version. Several
  /// threads may call it at once.
  FoldedBatchNorm folded_into(Conv2d& conv);

 protected:
  Tensor forward(const Tensor& x) override;

 private:
  BatchNormState state_;
  std::mutex folding_;  // guards the members below
  std::optional<FoldedBatchNorm> folded_;
  std::vector<uint64_t> folded_from_;
};

class BatchNorm2d final : public BatchNorm {
 public:
  using BatchNorm::BatchNorm;
  std::string_view kind() const override { return "BatchNorm2d"; }
};

class BatchNorm1d final : public BatchNorm {
 public:
  using BatchNorm::BatchNorm;
  std::string_view kind() const override { return "BatchNorm1d"; }
};

/// ops/linear as a module. Parameters: weight (O,I), bias (O) if requested. Initialised by kaiming_normal_ (fan_in: std sqrt(2 / I)), as
/// in fastai's head.
class Linear final : public Module {
 public:
  Linear(int in, int out, bool bias, Placement placement);
  std::string_view kind() const override { return "Linear"; }
  Tensor& weight() { return weight_; }

 protected:
  Tensor forward(const Tensor& x) override;

 private:
  Tensor& weight_;
  Tensor bias_;
};

class ReLU final : public Module {
 public:
  std::string_view kind() const override { return "ReLU"; }

 protected:
  Tensor forward(const Tensor& x) override;
};

class MaxPool2d final : public Module {
 public:
  explicit MaxPool2d(const Pool2dSpec& spec) : spec_(spec) {}
  std::string_view kind() const override { return "MaxPool2d"; }
  const Pool2dSpec& spec() const { return spec_; }

 protected:
  Tensor forward(const Tensor& x) override;

 private:
  Pool2dSpec spec_;
};

class AdaptiveAvgPool2d final : public Module {
 public:
  std::string_view kind() const override { return "AdaptiveAvgPool2d"; }

 protected:
  Tensor forward(const Tensor& x) override;  // (N,H,W,C) -> (N,1,1,C)
};

class AdaptiveConcatPool2d final : public Module {
 public:
  std::string_view kind() const override { return "AdaptiveConcatPool2d"; }

 protected:
  Tensor forward(const Tensor& x) override;  // (N,H,W,C) -> (N,1,1,2C)
};

class Flatten final : public Module {
 public:
  std::string_view kind() const override { return "Flatten"; }

 protected:
  Tensor forward(const Tensor& x) override;
};

/// Drops elements at random in training; does nothing in evaluation.
class Dropout final : public Module {
 public:
  explicit Dropout(double p) : p_(p) {}
  std::string_view kind() const override { return "Dropout"; }
  double p() const { return p_; }
  /// For comparisons with a network without dropout.
  void set_p(double p) { p_ = p; }

 protected:
  Tensor forward(const Tensor& x) override;
  void on_step(const RandomStep& step, uint32_t ordinal) override;

 private:
  double p_;
  RandomKey key_{.purpose = Purpose::kDropout};
  Tensor step_;  // replaces key_.step, if present
};

/// Children named "0", "1", ... run one after another. A convolution followed by a batch norm, with or without a ReLU after it, runs fused;
/// no other sequence does.
class Sequential final : public Module {
 public:
  std::string_view kind() const override { return "Sequential"; }
  template <class M>
  M& append(std::unique_ptr<M> module) {
    return add(std::to_string(children().size()), std::move(module));
  }
  Rest rest_after(std::string_view child) override;
  bool takes_padded_pictures() const override { return !children().empty() && children()[0].module->takes_padded_pictures(); }

 protected:
  Tensor forward(const Tensor& x) override { return run_from(0, x); }
  std::optional<Indexed> indexed(std::span<const int> indices) const override;

 private:
  Tensor run_from(size_t first, const Tensor& x);
};

/// relu(norm(conv(x)) + residual): the residual and the ReLU may be absent. In evaluation, if no gradient of conv's or norm's parameters
/// is wanted, the norm is folded into the convolution and everything is one operation. Otherwise the convolution runs, then norm, sum and
/// ReLU as one operation (without a ReLU, norm and sum separately). In the check mode nothing is folded, so that each output can be
/// checked.
///
/// Watches on conv, norm and relu work in both cases and do not change the choice: the result has the same bits with and without them. A
/// folded convolution has no value between itself and its norm, so the values for a watch on conv or norm are computed separately, from the
/// same input: they differ from those of the folded weights by rounding (f32: 1e-5 of the largest value), and their gradient is that of the
/// folded operation.
Tensor run_conv_norm(Conv2d& conv, BatchNorm& norm, ReLU* relu, const Tensor& x, const Tensor& residual = {});

/// pool(relu(norm(conv(x)))): norm, ReLU and pool as one operation (ops/batch_norm.h) where the norm is not folded, none of the three is
/// watched, and the check mode does not ask for each output; else one after another, with the same bits.
Tensor run_conv_norm_pool(Conv2d& conv, BatchNorm& norm, ReLU& relu, MaxPool2d& pool, const Tensor& x);

}  // namespace mirilla::nn
