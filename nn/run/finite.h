// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/amp/precision.h"
#include "kernels/core/error.h"
#include "nn/modules/module.h"
#include "nn/run/inference.h"

/// Answers that are not finite. A normal pass costs one check of its logits; only if they are not finite is the network run again,
/// with every module's output checked, to find which module wrote the first such number and why.
namespace mirilla::nn {

/// Thrown if logits, losses or a map contain a NaN or an infinity, so that there is no answer for these pictures.
struct NotFinite : Error {
  struct Cause {
    std::string module;   // the first, in the order of execution, that wrote such a number: "layer4.1.conv2"; of gradients "the backward of
                          // conv2d in layer4.1.conv2"; "" if none did when it ran again
    bool is_nan = false;  // it wrote a NaN; otherwise an infinity
    std::string flaw = {};  // what is wrong with its own tensors, as in Module::flaw; "": its numbers are too large for the precision
    amp::Precision precision = amp::Precision::fp32;  // the precision of the network
    bool finite_in_fp32 = false;                      // after an overflow in fp16: the same picture gives finite numbers there
  };

  /// `what` is not finite: "the logits".
  NotFinite(std::string_view what, Cause why, std::vector<int64_t> which = {}, std::vector<std::string> called = {});
  /// The same with the pictures' names, the first of which begins the sentence.
  NotFinite of(std::vector<std::string> called) const { return {subject, cause, pictures, std::move(called)}; }
  /// The same with renumbered pictures: numbers[i] for i.
  NotFinite renumbered(std::span<const int64_t> numbers) const;
  /// The same for one picture of the batch.
  NotFinite of_picture(int64_t picture) const { return {subject, cause, {picture}, names}; }
  /// Whether numbers grew too large, and neither weights nor pictures are the cause.
  bool overflow() const;

  std::string subject;
  Cause cause;
  std::vector<int64_t> pictures;   // rows of the batch; from evaluate(), items of the data set
  std::vector<std::string> names;  // if the caller knows them
};

/// A pass through a network that can be repeated.
struct Again {
  std::function<Tensor(const Tensor& input)> network;  // in its current mode and with its watches
  Tensor input;                                        // (N,...)
  amp::Precision precision = amp::Precision::fp32;
};

/// The pass of an Inference.
Again again(Inference& network, const Tensor& input);

bool all_finite(std::span<const double> values);
bool all_finite(std::span<const float> values);

/// "the numbers of the map at 'layer4'": the subject of NotFinite for an explanation.
std::string map_name(std::string_view layer);

/// Which of `rows` equal parts of the values contain a number that is not finite, in ascending order.
std::vector<int64_t> rows_not_finite(std::span<const double> values, int64_t rows);

/// Calls f(); if it throws NotFinite about a batch made from one picture, throws the same about that picture.
template <class F>
decltype(auto) of_one_picture(int64_t picture, F&& f) {
  try {
    return f();
  } catch (const NotFinite& error) {
    throw error.of_picture(picture);
  }
}

/// The same for a picture with a name.
template <class F>
decltype(auto) of_picture_named(const std::string& name, F&& f) {
  try {
    return f();
  } catch (const NotFinite& error) {
    throw error.of({name});
  }
}

/// The error for the pictures at these rows (at least one), whose logits are not finite. Runs the first of them again,
/// and the whole batch if that shows nothing. Waits for the device.
NotFinite why_not_finite(const Again& again, std::vector<int64_t> rows, std::string_view what = "the logits");

/// The same for any work, also with a backward pass, whose result was not finite.
NotFinite why_not_finite(const std::function<void()>& work, std::string_view what, amp::Precision precision = amp::Precision::fp32);

/// Logits (N,classes) on the host. Waits. Throws NotFinite if one of them is not finite.
std::vector<double> finite_logits(const Tensor& logits, const Again& again);
/// For a model that was called directly.
std::vector<double> finite_logits(Module& model, const Tensor& input, const Tensor& logits);

}  // namespace mirilla::nn
