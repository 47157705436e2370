// SPDX-License-Identifier: MIT
#include "nn/run/finite.h"

#include <algorithm>
#include <cmath>

#include "engine/amp/autocast.h"
#include "engine/tape.h"

namespace mirilla::nn {

namespace {

constexpr std::string_view kInput = "the input of ";

bool is_of_input(const NotFinite::Cause& cause) { return cause.module.starts_with(kInput); }

bool is_overflow(const NotFinite::Cause& cause) { return !cause.module.empty() && cause.flaw.empty() && !is_of_input(cause); }

std::string message_of(std::string_view what, const NotFinite::Cause& cause, const std::vector<std::string>& names) {
  std::string text = names.empty() ? "" : names[0];
  if (names.size() > 1) text += fmt::format(" and {} more of its batch", names.size() - 1);
  if (!text.empty()) text += ": ";
  text += fmt::format("{} are not finite", what);
  if (cause.module.empty()) return text + ", although every module's output is finite when it is checked alone";
  text += fmt::format(": {} {} the first {}", cause.module, is_of_input(cause) ? "holds" : "wrote", cause.is_nan ? "NaN" : "infinity");
  return cause.flaw.empty() ? text : text + "; " + cause.flaw;
}

std::string hint_of(const NotFinite::Cause& cause) {
  if (cause.module.empty()) return {};
  if (is_of_input(cause)) return "pictures are normalised with the mean and std of the model's file: are these right?";
  if (!cause.flaw.empty())
    return "the model is damaged, or its training diverged: use an earlier model, or train with a smaller learning rate";
  constexpr std::string_view kDiverged = "are these the weights of a training that diverged?";
  if (cause.precision != amp::Precision::fp16)
    return fmt::format("an overflow: it computes numbers beyond 3.4e38, the largest of {}; {}", name_of(cause.precision), kDiverged);
  if (!cause.finite_in_fp32)
    return fmt::format("an overflow: it computes numbers beyond 65504, the largest of fp16, and fp32 overflows too; {}", kDiverged);
  return "an overflow: it computes numbers beyond 65504, the largest of fp16; fp32 holds them, and bf16 has its range";
}

// The flaw of the module's own tensors that the hint names; "" if the hint is another sentence.
std::string flaw_of(const running::FirstNotFinite& found) {
  constexpr std::string_view kItself = "its ";  // how Module::flaw begins
  return found.hint().starts_with(kItself) ? found.hint() : std::string();
}

// Empty if everything was finite this time.
NotFinite::Cause look(const std::function<void()>& work, amp::Precision precision) {
  try {
    const running::AsItRuns looking;
    work();
  } catch (const running::FirstNotFinite& found) {
    return {.module = found.who, .is_nan = found.is_nan, .flaw = flaw_of(found), .precision = precision};
  }
  return {.module = {}, .precision = precision};
}

template <class T>
bool all_are_finite(std::span<const T> values) {
  return std::all_of(values.begin(), values.end(), [](T value) { return std::isfinite(value); });
}

}  // namespace

bool all_finite(std::span<const double> values) { return all_are_finite(values); }
bool all_finite(std::span<const float> values) { return all_are_finite(values); }

std::string map_name(std::string_view layer) { return fmt::format("the numbers of the map at '{}'", layer); }

NotFinite::NotFinite(std::string_view what, Cause why, std::vector<int64_t> which, std::vector<std::string> called)
    : Error(message_of(what, why, called), hint_of(why)),
      subject(what),
      cause(std::move(why)),
      pictures(std::move(which)),
      names(std::move(called)) {}

NotFinite NotFinite::renumbered(std::span<const int64_t> numbers) const {
  std::vector<int64_t> others;
  for (const int64_t picture : pictures) others.push_back(numbers[static_cast<size_t>(picture)]);
  return {subject, cause, std::move(others), names};
}

bool NotFinite::overflow() const { return is_overflow(cause); }

Again again(Inference& network, const Tensor& input) {
  return {.network = [&model = network.model()](const Tensor& x) { return model(x); }, .input = input, .precision = network.precision()};
}

std::vector<int64_t> rows_not_finite(std::span<const double> values, int64_t rows) {
  std::vector<int64_t> found;
  if (rows == 0 || all_finite(values)) return found;
  const size_t length = values.size() / static_cast<size_t>(rows);
  for (int64_t row = 0; row < rows; ++row)
    if (!all_finite(values.subspan(static_cast<size_t>(row) * length, length))) found.push_back(row);
  return found;
}

NotFinite why_not_finite(const Again& again, std::vector<int64_t> rows, std::string_view what) {
  const tape::NoGrad no_grad;
  const Tensor one = again.input.slice(rows[0], rows[0] + 1);
  const auto run = [&](const Tensor& input) {
    const amp::Autocast autocast(amp::dtype_of(again.precision));
    again.network(input);
  };
  NotFinite::Cause cause = look([&] { run(one); }, again.precision);
  if (cause.module.empty()) cause = look([&] { run(again.input); }, again.precision);  // its sums may have another order
  if (again.precision == amp::Precision::fp16 && is_overflow(cause)) {
    const amp::Autocast wide(DType::f32);
    cause.finite_in_fp32 = all_finite(again.network(one.to(DType::f32)).to_doubles());
  }
  return {what, std::move(cause), std::move(rows)};
}

NotFinite why_not_finite(const std::function<void()>& work, std::string_view what, amp::Precision precision) {
  return {what, look(work, precision)};
}

std::vector<double> finite_logits(const Tensor& logits, const Again& again) {
  std::vector<double> values = logits.to_doubles();
  if (std::vector<int64_t> rows = rows_not_finite(values, logits.size(0)); !rows.empty()) throw why_not_finite(again, std::move(rows));
  return values;
}

std::vector<double> finite_logits(Module& model, const Tensor& input, const Tensor& logits) {
  return finite_logits(logits, {.network = [&model](const Tensor& x) { return model(x); }, .input = input});
}

}  // namespace mirilla::nn
