// SPDX-License-Identifier: MIT
#include <algorithm>

#include "data/draw/plot.h"
#include "kernels/core/atomic_file.h"
#include "kernels/core/error.h"
#include "nn/train/callbacks.h"
#include "nn/train/lr_find.h"

namespace mirilla::nn {

data::Picture draw_lr_find(const LrFindResult& result, std::span<const LrSuggestion> suggestions) {
  constexpr size_t kSkippedAtEnd = 5;
  const size_t n = result.losses.size() - std::min(kSkippedAtEnd, result.losses.size());
  const auto to = static_cast<std::ptrdiff_t>(n);
  std::vector<data::Series> series{
      {.name = "loss", .x = {result.lrs.begin(), result.lrs.begin() + to}, .y = {result.losses.begin(), result.losses.begin() + to}}};
  for (const LrSuggestion& suggestion : suggestions)
    if (suggestion.lr) series.push_back({.name = suggestion.rule, .x = {suggestion.at_lr}, .y = {suggestion.at_loss}, .dots = true});
  return data::plot(
      series,
      {.title = "which learning rate?", .x_label = "learning rate", .y_label = "smoothed loss", .log_x = true, .y_from_zero = false});
}

void write_lr_find(const LrFindResult& result, const std::filesystem::path& path) {
  std::string text = "iteration,lr,loss,smoothed_loss\n";
  for (size_t i = 0; i < result.lrs.size(); ++i)
    text +=
        fmt::format("{},{},{},{}\n", i, python_float(result.lrs[i]), python_float(result.raw_losses[i]), python_float(result.losses[i]));
  write_atomically(path, text);
}

std::string to_string(std::span<const LrSuggestion> suggestions) {
  std::string text;
  for (const LrSuggestion& suggestion : suggestions)
    text += fmt::format("{}{}={}", text.empty() ? "" : ", ", suggestion.rule, suggestion.lr ? python_float(*suggestion.lr) : "None");
  return "SuggestedLRs(" + text + ")";
}

}  // namespace mirilla::nn
