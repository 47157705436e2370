// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "engine/amp/precision.h"
#include "nn/modules/module.h"
#include "weights/state_dict.h"

/// Everything that a network computed for one batch, module by module, for comparison by nn/inspect/diff.
namespace mirilla::nn {

/// The start of the backward pass.
enum class Objective {
  logit,  // the sum over pictures of one logit each, as in Grad-CAM
  loss,   // cross entropy with those classes as the labels, the mean over pictures, as in training
};

struct TraceOptions {
  amp::Precision precision = amp::Precision::fp32;  // a model in f64 stays in f64 under fp32
  bool training = false;                            // batch norms with the batch's statistics, dropout
  bool dropout = true;                              // false: off in training too, for a comparison with other random numbers
  bool parameters = false;                          // keep parameters and buffers too, and the parameters' gradients
  Objective objective = Objective::logit;
  std::vector<int64_t> classes = {};  // one per picture; empty: the likeliest of each picture
  uint64_t seed = 0;                  // of the dropout
};

/// One output of one module, or a parameter, or a buffer.
struct Traced {
  std::string name;  // torchvision's: "layer1.0.conv1"; "input" for the pictures
  std::string kind;  // "Conv2d"; empty if it is not a module, or if a file does not say
  size_t call = 0;   // of the module: a block's relu runs twice
  Tensor value;      // pictures (N,H,W,C), weights (K,R,S,C)
  Tensor gradient;   // like value; no tensor if there is none
};

struct Trace {
  std::vector<Traced> modules;     // in the order in which they finished: children before parents; the first is "input"
  bool ordered = true;             // false: read from a file with another order
  std::vector<Traced> parameters;  // if requested, in the order of their declaration, like
  std::vector<Traced> buffers;     // these: running statistics, after the pass
  /// The logits once more, as inference computes them: nothing watched, batch norms folded into the convolutions. None in training.
  Tensor inference;
  std::vector<int64_t> classes;  // used in the objective
  std::map<std::string, std::string> about;
};

/// Runs the model once forward and once backward with every module watched; in evaluation mode once more without watches. In evaluation a
/// batch norm is folded into its convolution, unless the parameters' gradients are requested, and the outputs of the two are computed
/// separately. The model is left unchanged: mode, running statistics, gradients, dropout.
///
///   input  (N,H,W,3) normalised, on the model's device; halves for a network in half precision
///
/// In fp16 the gradients run under a scale of 1024, as under a GradScaler, and are then divided by it. Waits for the device. Throws
/// UsageError for an unknown class, a number of classes that differs from that of the pictures, or training with one picture.
Trace trace(Module& model, const Tensor& input, const TraceOptions& options = {});

/// A file of a trace, in PyTorch's layouts, so that others can read or make one:
///
///   activation/<module>, gradient/<module>           (N,C,H,W) or (N,C); the second call of a module is <module>/1; "input" is one
///   parameter/<name>, parameter_gradient/<name>      if they were requested
///   buffer/<name>
///   inference                                        logits
///
/// with metadata: classes (JSON), objective, mode, and order: execution.
weights::StateDict to_state_dict(const Trace& trace);
void write_trace(const std::filesystem::path& path, const Trace& trace);

/// Whether a file holds a trace and not a model: whether it has names as above.
bool is_trace(const weights::StateDict& state);
/// The inverse, onto `device`. fastai's module names become torchvision's. Entries with other names are skipped. Throws WeightsError
/// where a gradient has no activation of its shape, or the metadata cannot be understood.
Trace to_trace(const weights::StateDict& state, std::string_view origin, Device& device);

}  // namespace mirilla::nn
