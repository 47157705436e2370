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

/// Answers that are no numbers. A healthy pass pays for one look at its logits; only where they are not finite is the network run again,
/// with every module's output looked at, to say which module wrote the first such number and why.
namespace mirilla::nn {

/// Logits, losses or a map hold a NaN or an infinity, so that nothing can be said of these pictures.
struct NotFinite : Error {
  struct Cause {
    std::string module;   // the first, in the order of execution, that wrote such a number: "layer4.1.conv2"; of gradients "the backward of
                          // conv2d in layer4.1.conv2"; "" where none did when it was done again
    bool is_nan = false;  // what it wrote; otherwise an infinity
    std::string flaw =
        {};  // what is wrong with its own tensors, as Module::flaw says it; "": its numbers grew larger than the precision holds
    amp::Precision precision = amp::Precision::fp32;  // that the network ran in
    bool finite_in_fp32 = false;                      // after an overflow in fp16: the same picture gives finite numbers there
  };

  /// `what` is not finite: "the logits".
  NotFinite(std::string_view what, Cause why, std::vector<int64_t> which = {}, std::vector<std::string> called = {});
  /// The same with the pictures' names, the first of which begins the sentence.
  NotFinite of(std::vector<std::string> called) const { return {subject, cause, pictures, std::move(called)}; }
  /// The same with other numbers for the pictures: numbers[i] for i.
  NotFinite renumbered(std::span<const int64_t> numbers) const;
  /// The same of one picture, whatever it was a batch of.
  NotFinite of_picture(int64_t picture) const { return {subject, cause, {picture}, names}; }
  /// Whether numbers grew too large, and neither weights nor pictures are to blame.
  bool overflow() const;

  std::string subject;
  Cause cause;
  std::vector<int64_t> pictures;   // rows of the batch; from evaluate(), items of the data set
  std::vector<std::string> names;  // where the caller knows them
};

/// A pass through a network, to be done again.
struct Again {
  std::function<Tensor(const Tensor& input)> network;  // in the mode and under the watches that it has
  Tensor input;                                        // (N,...)
  amp::Precision precision = amp::Precision::fp32;
};

/// What an Inference ran on.
Again again(Inference& network, const Tensor& input);

bool all_finite(std::span<const double> values);
bool all_finite(std::span<const float> values);

/// "the numbers of the map at 'layer4'": what NotFinite says of an explanation.
std::string map_name(std::string_view layer);

/// Which of `rows` equal parts of the values hold a number that is not finite, in ascending order.
std::vector<int64_t> rows_not_finite(std::span<const double> values, int64_t rows);

/// f(), and where that throws NotFinite of a batch that was made of one picture, the same of that picture.
template <class F>
decltype(auto) of_one_picture(int64_t picture, F&& f) {
  try {
    return f();
  } catch (const NotFinite& error) {
    throw error.of_picture(picture);
  }
}

/// The same of a picture with a name.
template <class F>
decltype(auto) of_picture_named(const std::string& name, F&& f) {
  try {
    return f();
  } catch (const NotFinite& error) {
    throw error.of({name});
  }
}

/// What to say of the pictures at these rows, of which there is at least one: their logits are not finite. Runs the first of them again,
/// and the whole batch where that alone shows nothing. Waits for the device.
NotFinite why_not_finite(const Again& again, std::vector<int64_t> rows, std::string_view what = "the logits");

/// The same for a work of any kind, a backward pass among it, that came out not finite.
NotFinite why_not_finite(const std::function<void()>& work, std::string_view what, amp::Precision precision = amp::Precision::fp32);

/// Logits (N,classes) on the host. Waits. Throws NotFinite where one of them is not finite.
std::vector<double> finite_logits(const Tensor& logits, const Again& again);
/// Of a model that was called plainly.
std::vector<double> finite_logits(Module& model, const Tensor& input, const Tensor& logits);

}  // namespace mirilla::nn
