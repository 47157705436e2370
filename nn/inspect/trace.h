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

/// All that a network computed for one batch, module by module: what nn/inspect/diff compares.
namespace mirilla::nn {

/// What flows backward.
enum class Objective {
  logit,  // the sum over pictures of one logit each, as Grad-CAM starts
  loss,   // cross entropy with those classes as the labels, the mean over pictures, as training starts
};

struct TraceOptions {
  amp::Precision precision = amp::Precision::fp32;  // a model in f64 stays in it under fp32
  bool training = false;                            // batch norms with the batch's statistics, dropout
  bool dropout = true;                              // false: off in training too, for a comparison with other random numbers
  bool parameters = false;                          // keep parameters and buffers too, and the parameters' gradients
  Objective objective = Objective::logit;
  std::vector<int64_t> classes = {};  // one a picture; empty: each picture's likeliest
  uint64_t seed = 0;                  // of the dropout
};

/// One output of one module, or a parameter, or a buffer.
struct Traced {
  std::string name;  // torchvision's: "layer1.0.conv1"; "input" for the pictures
  std::string kind;  // "Conv2d"; empty where it is no module, or a file does not tell
  size_t call = 0;   // of the module: a block's relu runs twice
  Tensor value;      // pictures (N,H,W,C), weights (K,R,S,C)
  Tensor gradient;   // like value; none where none came
};

struct Trace {
  std::vector<Traced> modules;     // in the order in which they finished: children before parents; the first is "input"
  bool ordered = true;             // false: read from a file whose writer sorted them otherwise
  std::vector<Traced> parameters;  // where asked for, in the order of their declaration, as are
  std::vector<Traced> buffers;     // these: running statistics, after the pass
  /// The logits once more, as inference computes them: nothing watched, batch norms folded into the convolutions. None in training.
  Tensor inference;
  std::vector<int64_t> classes;  // that the objective was about
  std::map<std::string, std::string> about;
};

/// Runs the model once forward and once backward with every module watched; in evaluation mode once more without watches. There a batch
/// norm is folded into its convolution, unless the parameters' gradients are asked for, and what the two would give is computed apart. The
/// model is left as it was: mode, running statistics, gradients, dropout.
///
///   input  (N,H,W,3) normalised, on the model's device; a half's network takes halves
///
/// In fp16 the gradients run under a scale of 1024, as under a GradScaler, and come divided by it. Waits for the device. Throws UsageError
/// for a class that is not there, a number of classes that is not that of the pictures, or training with one picture.
Trace trace(Module& model, const Tensor& input, const TraceOptions& options = {});

/// A file of a trace, in PyTorch's layouts, so that others can read or make one:
///
///   activation/<module>, gradient/<module>           (N,C,H,W) or (N,C); the second call of a module is <module>/1; "input" is one
///   parameter/<name>, parameter_gradient/<name>      where they were asked for
///   buffer/<name>
///   inference                                        logits
///
/// with about as metadata: classes (JSON), objective, mode, and order: execution.
weights::StateDict to_state_dict(const Trace& trace);
void write_trace(const std::filesystem::path& path, const Trace& trace);

/// Whether a file holds a trace and not a model: whether it has names as above.
bool is_trace(const weights::StateDict& state);
/// The way back, onto `device`. fastai's module names become torchvision's. Entries of other names are passed over. Throws WeightsError
/// where a gradient has no activation of its shape, or the metadata cannot be understood.
Trace to_trace(const weights::StateDict& state, std::string_view origin, Device& device);

}  // namespace mirilla::nn
