// SPDX-License-Identifier: MIT
#include "apps/cost_print.h"

#include <fmt/format.h>

#include <cmath>

namespace mirilla::apps {

namespace {

std::string mb(int64_t bytes) {
  const double value = 1e-6 * static_cast<double>(bytes);
  return value == 0 ? "0" : value < 0.095 ? fmt::format("{:.3f}", value) : fmt::format("{:.1f}", value);
}

std::string row(const std::string& name, size_t width, const nn::CostSum& sum) {
  const std::string flop = sum.flop > 0 ? fmt::format("{:.2f}", 1e-9 * sum.flop) : "";
  return fmt::format("{:<{}}  {:>8}  {:>9}  {:>9}  {:>9}  {:>9.1f}  {:>5.0f} %\n", name, width, sum.launches, mb(sum.read), mb(sum.written),
                     flop, sum.us, 100 * sum.share_of_limit());
}

std::string head(const std::string& name, size_t width) {
  return fmt::format("{:<{}}  {:>8}  {:>9}  {:>9}  {:>9}  {:>9}  {:>7}\n", name, width, "launches", "MB read", "written", "GFLOP", "us",
                     "limit");
}

// "batch_norm_backward: back_rows"; a library's call says itself what it computes.
std::string name_of(const nn::CostRow& row) {
  if (row.operation.empty() || row.kind != LedgerEntry::Kind::kernel) return row.name;
  constexpr std::string_view kEnd = "_kernel";
  return fmt::format("{}: {}", row.operation, row.name.ends_with(kEnd) ? row.name.substr(0, row.name.size() - kEnd.size()) : row.name);
}

std::string_view name_of(LedgerEntry::Kind kind) {
  switch (kind) {
    case LedgerEntry::Kind::kernel: return "kernel";
    case LedgerEntry::Kind::library: return "library";
    case LedgerEntry::Kind::copy: return "copy";
    default: return "send";
  }
}

std::string what_is_asked(const nn::CostOptions& options) {
  return fmt::format("{}, {} {} picture{} of {} px, {}", options.network.arch, options.training ? "training with" : "inference of",
                     options.batch_size, options.batch_size == 1 ? "" : "s", options.size, amp::name_of(options.precision));
}

std::string rate_of(double pictures_per_s) {
  std::string digits = fmt::format("{:.0f}", pictures_per_s);
  for (int64_t at = static_cast<int64_t>(digits.size()) - 3; at > 0; at -= 3) digits.insert(static_cast<size_t>(at), ",");
  return digits;
}

nlohmann::ordered_json json_of(const nn::CostSum& sum) {
  const auto rounded = [](double us) { return std::round(1e3 * us) / 1e3; };
  return {{"launches", sum.launches}, {"bytes_read", sum.read},          {"bytes_written", sum.written},
          {"flop", sum.flop},         {"predicted_us", rounded(sum.us)}, {"share_of_limit", rounded(sum.share_of_limit())}};
}

nlohmann::ordered_json constants_of(const nn::GpuModel& gpu) {
  nlohmann::ordered_json all;
  const auto put = [&](std::string_view name, double value, std::string_view unit, std::string_view source) {
    all[std::string(name)] = {{"value", value}, {"unit", unit}, {"source", source}};
  };
  put("bytes_per_s", gpu.bytes_per_s, "bytes/s", gpu.source);
  put("half_flop_per_s", gpu.half_flop_per_s, "FLOP/s", gpu.source);
  put("float_flop_per_s", gpu.float_flop_per_s, "FLOP/s", gpu.source);
  put("multiprocessors", gpu.multiprocessors, "", "the architecture white papers of NVIDIA");
  const nn::CostConstants& c = nn::cost_constants();
  for (const nn::CostConstant* one : {&c.copy_share, &c.product_share, &c.node_us, &c.shortest_us, &c.host_bytes_per_s})
    put(one->name, one->value, one->unit, one->source);
  return all;
}

}  // namespace

std::string cost_text(const nn::Cost& cost, const nn::CostOptions& options, const nn::GpuModel& gpu, std::optional<double> measured,
                      bool kernels) {
  constexpr size_t kModuleWidth = 9, kKernelWidth = 34;
  std::string text = what_is_asked(options) + ": one step, replayed\n\n";
  text += head("module", kModuleWidth);
  for (const nn::CostRow& one : cost.modules) text += row(one.name, kModuleWidth, one.sum);
  text += row("total", kModuleWidth, cost.total);
  if (kernels) {
    text += "\n" + head("kernel", kKernelWidth);
    for (const nn::CostRow& one : cost.kernels) {
      const std::string name = name_of(one);
      if (name.size() > kKernelWidth) text += name + "\n";
      text += row(name.size() > kKernelWidth ? "" : name, kKernelWidth, one.sum);
    }
  }
  text += fmt::format("\nmoved: {} MB; the floor, each tensor of a convolution, product and optimizer once: {} MB\n",
                      mb(cost.total.bytes()), mb(cost.floor_bytes));
  text += fmt::format("PyTorch by formula: eager {} MB, compiled {} MB\n", mb(cost.eager_bytes), mb(cost.compiled_bytes));
  text += fmt::format("memory: {:.2f} of {:.0f} GB, without the workspace of the libraries\n",
                      1e-9 * static_cast<double>(cost.memory_bytes), 1e-9 * static_cast<double>(gpu.memory_bytes));
  text += fmt::format("predicted {} pictures/s on an {} ({})\n", rate_of(cost.pictures_per_s(options.batch_size)), gpu.title,
                      measured ? "of this model of time" : "never measured on a GPU");
  if (measured) text += fmt::format("measured {} pictures/s on this machine's GPU\n", rate_of(*measured));
  return text;
}

nlohmann::ordered_json cost_json(const nn::Cost& cost, const nn::CostOptions& options, const nn::GpuModel& gpu,
                                 std::optional<double> measured) {
  nlohmann::ordered_json modules = nlohmann::ordered_json::array(), kernels = nlohmann::ordered_json::array();
  for (const nn::CostRow& one : cost.modules) modules.push_back({{"module", one.name}, {"cost", json_of(one.sum)}});
  for (const nn::CostRow& one : cost.kernels)
    kernels.push_back({{"kernel", one.name}, {"kind", name_of(one.kind)}, {"operation", one.operation}, {"cost", json_of(one.sum)}});
  return {{"architecture", options.network.arch},
          {"classes", options.network.classes},
          {"gpu", gpu.title},
          {"training", options.training},
          {"batch_size", options.batch_size},
          {"size", options.size},
          {"precision", amp::name_of(options.precision)},
          {"libraries", options.libraries},
          {"modules", modules},
          {"kernels", kernels},
          {"total", json_of(cost.total)},
          {"floor_bytes", cost.floor_bytes},
          {"pytorch_eager_bytes", cost.eager_bytes},
          {"pytorch_compiled_bytes", cost.compiled_bytes},
          {"memory_bytes", cost.memory_bytes},
          {"predicted_pictures_per_s", std::round(10 * cost.pictures_per_s(options.batch_size)) / 10},
          {"measured_pictures_per_s", measured ? nlohmann::ordered_json(*measured) : nlohmann::ordered_json()},
          {"constants", constants_of(gpu)}};
}

}  // namespace mirilla::apps
