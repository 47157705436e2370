// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "kernels/core/philox.h"
#include "kernels/core/view.h"

namespace mirilla {

/// out = (in + 2 padding - dilation (kernel - 1) - 1) / stride + 1, in both directions.      [torch.nn.functional.conv2d]
struct Conv2dSpec {
  int stride = 1;
  int padding = 0;
  int dilation = 1;
  bool operator==(const Conv2dSpec&) const = default;
};

/// out = (in + 2 padding - window) / stride + 1; padding never wins (it counts as minus infinity).   [torch.nn.functional.max_pool2d]
struct Pool2dSpec {
  int window = 2;
  int stride = 2;
  int padding = 0;
  bool operator==(const Pool2dSpec&) const = default;
};

/// y = op(a) op(b), op transposes where the spec asks for it.
struct MatmulSpec {
  bool transpose_a = false;
  bool transpose_b = false;
};

/// Statistics of one training batch. Reduces over every dimension but the last: x is (N,H,W,C) or (N,C), the other views are (C).
///
///   mean    = 1/n sum x;  var = 1/n sum (x - mean)^2;  inv_std = 1 / sqrt(var + eps)
///   running_mean = (1 - momentum) running_mean + momentum mean
///   running_var  = (1 - momentum) running_var  + momentum var n/(n-1)                           [torch.nn.functional.batch_norm]
struct BatchNormStatistics {
  ConstView x;
  double eps = 1e-5;
  double momentum = 0.1;
  View mean, inv_std;              // f32 (f64 for f64)
  View running_mean, running_var;  // updated in place; both present or both absent
};

/// y = (x - mean) inv_std weight + bias, then + residual if present, then max(.,0) if relu. `normalized`, if present, is for a watch:
/// it receives the value before the residual is added. Watching it changes no bit of y. The plain form (no residual, no relu) is
/// core; the others need Fused::batch_norm_add_relu.
struct BatchNormApply {
  ConstView x, mean, inv_std, weight, bias;
  ConstView residual;  // like x, may be absent
  bool relu = false;
  View y;           // like x
  View normalized;  // like x, may be absent
  View mask;        // (ceil(numel / 8)) u8, may be absent; needs Fused::relu_mask. Bit i % 8 of byte i / 8 is clear where y[i] <= 0
};

/// The backward pass. With xhat = (x - mean) inv_std and g = dy, but with relu g = 0 where y <= 0:
///
///   dbias = sum g;  dweight = sum g xhat
///   dx = weight inv_std (g - 1/n dbias - 1/n xhat dweight)      if the statistics came from x (training)
///   dx = weight inv_std g                                       if they were given (evaluation)
///   dresidual = g
///
/// Each output may be absent and is then not computed. The plain form belongs to the core; relu and dresidual need
/// Fused::batch_norm_add_relu.
struct BatchNormBackward {
  ConstView dy, x, mean, inv_std, weight;
  ConstView y;     // if relu: either y,
  ConstView mask;  // or the mask that batch_norm_apply left, one bit per element
  bool relu = false;
  bool training = true;
  View dx, dresidual;   // like x
  View dweight, dbias;  // (C)
};

/// y = conv2d(x, w) + bias, then + residual if present, then max(.,0) if relu; for inference, with a batch norm folded into w and bias.
struct Conv2dBiasAddRelu {
  ConstView x, w, bias;
  ConstView residual;  // like y, may be absent
  bool relu = false;
  Conv2dSpec spec;
  View y;
};

/// Which elements a dropout keeps: element i of the tensor is kept where to_unit(key.bits(i)) >= p, and scaled by 1 / (1 - p); a dropped
/// element becomes 0, or NaN if it was not finite. Nothing is stored; the backward pass computes the same decision again.
struct DropoutSpec {
  double p = 0.5;
  RandomKey key;
  ConstView step = {};  // (1) i64, may be absent: its low 32 bits replace key.step; read when the device runs the call
};

/// One tensor of an optimizer step. Parameter, gradient and moments are f32 (f64 on the reference).
struct AdamTensor {
  View parameter;
  ConstView gradient;
  View m, v;  // first and second moments, like parameter
  double learning_rate = 0;
  double weight_decay = 0;
  View step;            // (1) i64: t, the steps this tensor has taken; the call adds 1 first
  View copy;            // f16 | bf16, like parameter otherwise: receives the parameter, rounded; may be absent
  ConstView rate = {};  // (1) f64, may be absent: replaces learning_rate; read when the device runs the call
};

/// Adam with decoupled weight decay, as fastai does it:                                               [fastai.optimizer.Adam]
///
///   p *= 1 - learning_rate weight_decay
///   m = beta1 m + (1 - beta1) g;   v = beta2 v + (1 - beta2) g^2
///   p -= learning_rate / (1 - beta1^t)  m / (sqrt(v / (1 - beta2^t)) + eps)
struct AdamSpec {
  double beta1 = 0.9;
  double beta2 = 0.99;
  double eps = 1e-5;
  ConstView momentum = {};  // (1) f64, may be absent: replaces beta1; read when the device runs the call
};

/// Values that change from step to step can therefore be given by value or by address (a view). With addresses a recorded step can be run
/// again with new values. Both forms give the same bits.

/// The gradient scaler's state, which lives on the device: f32 (4), of which
///
///   [0] scale      the loss was multiplied by it before backward; a power of two, so that undoing it is exact
///   [1] 1 / scale
///   [2] overflow   1 where a gradient of this step contains an infinity or a NaN, else 0
///   [3] streak     steps since the scale last changed, or since the last overflow
inline constexpr int kScalerState = 4;

/// How the scale moves after a step: an overflow multiplies it by `backoff` and sets the streak to 0; `interval` good steps in a row
/// multiply it by `growth`. Never beyond the largest power of two in f32, never below the smallest normal one.
/// [torch.amp.GradScaler.update]
struct ScalerSpec {
  double growth = 2;
  double backoff = 0.5;
  int64_t interval = 2000;
};

/// One update of the state, in plain arithmetic. Every device's update_scale computes this.
constexpr void step_scaler(float* state, const ScalerSpec& spec) {
  constexpr float kLargest = 0x1p127f, kSmallest = 0x1p-126f;
  float scale = state[0];
  if (state[2] != 0) {
    scale *= static_cast<float>(spec.backoff);
    state[3] = 0;
  } else if (state[3] + 1 >= static_cast<float>(spec.interval)) {
    scale *= static_cast<float>(spec.growth);
    state[3] = 0;
  } else {
    state[3] += 1;
  }
  state[0] = scale > kLargest ? kLargest : scale < kSmallest ? kSmallest : scale;
  state[1] = 1 / state[0];
}

/// Pictures to network input in one pass: affine + warp (bilinear, reflection), crop-resize (bilinear), lighting, normalisation. Both
/// samplings are evaluated together: an output pixel reads at most 16 source pixels and no intermediate picture is stored. fastai computes
/// coordinates in f32; ours may be more exact.
///                                                    [fastai.vision.augment: AffineCoordTfm, RandomResizedCropGPU, LightingTfm; Normalize]
///
/// `parameters` has one row per picture, in this order:
///   0..5    theta (2,3), row-major: output (x, y, 1) to input, coordinates in [-1,1]
///   6..13   homography h: (x,y) -> ((h0 x + h1 y + h2), (h3 x + h4 y + h5)) / (h6 x + h7 y + 1), applied to theta's coordinates
///   14..17  crop: left, top, width, height in whole pixels of the (H,W) picture; it lies inside the picture
///   18, 19  lighting: x' = sigmoid((logit(clamp(x, 1e-7, 1 - 1e-7)) + shift) contrast), shift and contrast; both ignored unless `lighting`
///
/// Where d = min(height / h, width / w) / 2 > 1, the crop is first averaged over the cells of an adaptive average pool to
/// (floor(height (1/d)), floor(width (1/d))), which is sampled; an output pixel then reads more.    [fastai.vision.augment._grid_sample]
/// The denominator h6 x + h7 y + 1 must not vanish on the picture. Along an extent of 1 the only coordinate is 0. A parameter 0..17 that is
/// not finite makes its picture NaN, where PyTorch's grid_sample reads an arbitrary pixel; so does a shift or contrast that is NaN, with
/// `lighting`.
///
/// With `places` the pictures may lie anywhere in one storage, so that pictures kept on the device and pictures just sent form one batch
/// without being copied together. It has one row per picture: the byte offset of its first pixel, and the bytes from one of its rows to the
/// next. Every picture is (H,W,3) and lies within `pictures`. The result has the same bits as for the same pictures stored one after the
/// other.
struct Augment {
  ConstView pictures;     // (N,H,W,3) u8; with places (M,H,W,3), M any
  ConstView parameters;   // (N,20) f32
  ConstView places = {};  // (N,2) i64, or none: picture n is pictures[n]
  bool lighting = false;
  std::array<float, 3> mean{}, std{};
  View y;  // (N,h,w,3)
};
inline constexpr int kAugmentParameters = 20;

/// Operations that a device may compute in one pass. Where it lacks one, the engine composes it from core operations; a test checks that
/// both agree.
enum class Fused { batch_norm_add_relu, conv2d_bias_add_relu, adaptive_concat_pool2d, relu_mask };

std::string_view name_of(Fused operation);

/// The table of operations: a small core that every device implements, and fused entries that are optional. Each function reads its
/// ConstViews and writes every element of its Views (it never adds to what is there, unless its comment says so). Pictures are (N,H,W,C),
/// convolution weights (K,R,S,C) = (out, height, width, in). Shapes and dtypes were checked by engine/ops; a kernel relies on this. Views
/// do not overlap unless its comment says so. No function waits for the device; a device without an operation or dtype throws DeviceError
/// naming both.
///
/// Half precision. Where values are f16 or bf16, all arithmetic and every sum is in f32 and is rounded once, when the result is stored. All
/// float views of a call have one dtype, with these exceptions:
///
///   f32 beside a half x      batch norm's mean, inv_std, weight, bias, running statistics, dweight, dbias; the bias of conv2d and add_bias
///   f32 from half inputs     may be written by conv2d_backward_weight (dw), matmul, sum and sum_rows (y)
///   always f32               cross_entropy's losses and dlogits, grad_cam's weights and map
///   half from f32            may be written by multiply where b is one element, and by augment
///
/// Special values. A NaN, an infinity, a -0 and a subnormal in any input give what IEEE arithmetic makes of the formula, as in PyTorch: no
/// operation turns a NaN into a number, and none flushes subnormals, in whatever form it runs. Where there is a choice:
///
///   relu and fused relu      a NaN stays, -0 stays -0, backward gives 0 where y <= 0, so that dy passes where y is NaN
///   max pools, argmax        a NaN wins; of several NaN the last in a pool, the first in argmax
///   dropout                  a dropped element is 0 times what it was
///   cast to an integer       NaN gives 0, a value out of range gives the end of the range (undefined in PyTorch)
///   padding                  adds 0 times the weight: 0, or NaN for a weight that is not finite. Devices differ here, as PyTorch's
///                            kernels do; reference adds nothing. The same holds for the backward passes
///   sums beyond f32          a sum that leaves the range of f32 on the way, or has a term or a partial sum that does, is infinite,
///                            NaN or (where a device adds in f64) right, depending on the order. Never another number
///   batch_norm_statistics    large values are summed in f64: a variance beyond f32 still gives its inv_std, and running_var is infinite
///                            (PyTorch: an inv_std of 0, and so y = bias)
///   adam                     g^2 beyond f32 makes v infinite, and the parameter then only decays
///   the sign of a zero       is IEEE's where an operation selects, moves or rounds once (fill to relu_backward, add_bias, max pools,
///                            concat, split, transpose) and is not promised elsewhere; a dropped element is +0
///
/// tests/kernels/special tries each special value in each input of each operation, on every device.
class Backend {
 public:
  virtual ~Backend() = default;

  virtual std::string_view name() const = 0;
  virtual bool has(Fused operation) const = 0;
  /// Called when a storage is freed: drops what was kept for it.
  virtual void forget(uint64_t storage_id) { static_cast<void>(storage_id); }

  // --- Elementwise and memory -----------------------------------------------------------------------------------------------------
  virtual void fill(View y, double value) = 0;                             // any dtype
  virtual void cast(ConstView x, View y) = 0;                              // any to any; float to float rounds to nearest even
  virtual void add(ConstView a, ConstView b, View y) = 0;                  // y = a + b; y may be a or b
  virtual void multiply(ConstView a, ConstView b, View y) = 0;             // y = a b; b like a, or one element; y may be a
  virtual void scale(ConstView x, double factor, View y) = 0;              // y = factor x; y may be x
  virtual void relu(ConstView x, View y) = 0;                              // y = max(x,0), NaN stays NaN
  virtual void relu_backward(ConstView dy, ConstView y, View dx) = 0;      // dx = 0 where y <= 0, else dy
  virtual void dropout(ConstView x, const DropoutSpec& spec, View y) = 0;  // also computes its own backward pass

  // --- Reductions -----------------------------------------------------------------------------------------------------------------
  virtual void sum(ConstView x, View y) = 0;       // all elements; y ()
  virtual void sum_rows(ConstView x, View y) = 0;  // over all dimensions but the last; y (C)
  virtual void argmax(ConstView x, View y) = 0;    // x (N,C), y (N) i64, of equal values the first; a NaN counts as the largest

  // --- Products -------------------------------------------------------------------------------------------------------------------
  virtual void matmul(ConstView a, ConstView b, const MatmulSpec& spec, View y) = 0;  // y (M,N)
  virtual void add_bias(ConstView x, ConstView bias, View y) = 0;                     // adds bias (C) along the last dimension; y may be x
  virtual void conv2d(ConstView x, ConstView w, ConstView bias, const Conv2dSpec& spec, View y) = 0;  // bias (K) may be absent
  virtual void conv2d_backward_data(ConstView dy, ConstView w, const Conv2dSpec& spec, View dx) = 0;
  virtual void conv2d_backward_weight(ConstView x, ConstView dy, const Conv2dSpec& spec, View dw) = 0;

  // --- Normalisation and pooling --------------------------------------------------------------------------------------------------
  virtual void batch_norm_statistics(const BatchNormStatistics& call) = 0;
  virtual void batch_norm_apply(const BatchNormApply& call) = 0;
  virtual void batch_norm_backward(const BatchNormBackward& call) = 0;
  /// index (u8, like y): the winner's position in its window, row * window + column; of equal values the first wins; a NaN wins over
  /// numbers, and of several NaN the last wins.
  virtual void max_pool2d(ConstView x, const Pool2dSpec& spec, View y, View index) = 0;
  virtual void max_pool2d_backward(ConstView dy, ConstView index, const Pool2dSpec& spec, View dx) = 0;
  /// y (N,h,w,C): cell (i,j) covers rows floor(i H/h) .. ceil((i+1) H/h), columns likewise.   [torch.nn.AdaptiveAvgPool2d]
  virtual void adaptive_avg_pool2d(ConstView x, View y) = 0;
  virtual void adaptive_avg_pool2d_backward(ConstView dy, View dx) = 0;
  /// index (i64, like y): the winner's row * W + column in x; equal values and NaN as in max_pool2d.
  virtual void adaptive_max_pool2d(ConstView x, View y, View index) = 0;
  virtual void adaptive_max_pool2d_backward(ConstView dy, ConstView index, View dx) = 0;
  virtual void concat(ConstView a, ConstView b, View y) = 0;  // along the last dimension
  virtual void split(ConstView y, View a, View b) = 0;        // the inverse of concat; each of a and b may be absent
  virtual void transpose(ConstView x, View y);                // x (A,B,C) to y (A,C,B), any dtype; the default throws

  // --- Loss -----------------------------------------------------------------------------------------------------------------------
  virtual void softmax(ConstView x, View y) = 0;  // over the last dimension of (N,C)
  /// losses (N) = log sum exp(logits) - logits[target];  dlogits (N,C) = (softmax(logits) - onehot(target)) / N, the gradient of the
  /// mean loss. targets (N) i64, each in 0..C-1. Both in one pass; dlogits may be absent.              [torch.nn.functional.cross_entropy]
  virtual void cross_entropy(ConstView logits, ConstView targets, View losses, View dlogits) = 0;

  // --- The rest of a step ---------------------------------------------------------------------------------------------------------
  /// Sets state[2] to 1 where an element of a gradient is not finite, and else to 0.
  virtual void check_finite(std::span<const ConstView> gradients, View state) = 0;
  /// One step of all tensors; a tensor's `step` is counted up first and is then t. With a scaler's state, gradients are multiplied by
  /// state[1], and where state[2] is 1 nothing is written: no decay, no moments, no step count.
  virtual void adam(std::span<const AdamTensor> tensors, const AdamSpec& spec, ConstView scaler_state) = 0;
  /// Moves the scale by the rule above and leaves state[2] as it is, so that the caller can report it.
  virtual void update_scale(View state, const ScalerSpec& spec) = 0;
  virtual void augment(const Augment& call) = 0;
  /// weights (N,C) = mean of gradient over (h,w);  map (N,h,w) = sum_c weights_c activation_c.
  ///                                                                                                             [Grad-CAM, Selvaraju 2017]
  virtual void grad_cam(ConstView activation, ConstView gradient, View weights, View map) = 0;

  // --- Fused; the default throws the missing-operation error ----------------------------------------------------------------------
  virtual void conv2d_bias_add_relu(const Conv2dBiasAddRelu& call);
  /// y (N,h,w,2C) = [max, average] as fastai concatenates them; index as adaptive_max_pool2d.        [fastai.layers.AdaptiveConcatPool2d]
  virtual void adaptive_concat_pool2d(ConstView x, View y, View index);
  virtual void adaptive_concat_pool2d_backward(ConstView dy, ConstView index, View dx);

 protected:
  /// "<device> has no <operation>", hint: which devices do.
  [[noreturn]] void missing(std::string_view operation) const;
};

}  // namespace mirilla
