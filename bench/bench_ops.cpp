// SPDX-License-Identifier: MIT
// The operators of the tests, on the cases that the tests declare (tests/engine/op_case.h): a new operator is timed once it is tested. Of
// each case the largest inputs, in f32: forward without the tape, and forward with backward. Most are small: what is timed is the work of
// a call beside its kernel. ops_bench times kernels at the sizes of a network. `--device=NAME` comes before Google Benchmark's options.
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <numeric>
#include <string>
#include <vector>

#include "engine/tape.h"
#include "kernels/core/error.h"
#include "kernels/devices.h"
#include "tests/engine/op_case.h"

namespace mirilla::bench {

namespace {

int64_t elements(const std::vector<Shape>& shapes) {
  return std::accumulate(shapes.begin(), shapes.end(), int64_t{0}, [](int64_t sum, const Shape& shape) { return sum + shape.numel(); });
}

const std::vector<Shape>& largest_of(const OpCase& op) {
  return *std::max_element(op.inputs.begin(), op.inputs.end(), [](const auto& a, const auto& b) { return elements(a) < elements(b); });
}

void forward(benchmark::State& state, const OpCase& op, Device& device) {
  const std::vector<Tensor> in = tensors_of(draw_inputs(op, largest_of(op)), largest_of(op), DType::f32, device);
  const tape::NoGrad no_grad;
  for (auto _ : state) {
    benchmark::DoNotOptimize(op.run(in));
    device.synchronize();
  }
  state.SetItemsProcessed(state.iterations() * elements(largest_of(op)));
}

void forward_and_backward(benchmark::State& state, const OpCase& op, Device& device) {
  std::vector<Tensor> in = tensors_of(draw_inputs(op, largest_of(op)), largest_of(op), DType::f32, device);
  for (Tensor& input : in) input.set_requires_grad();
  const Tensor seed = full(op.run(in).shape(), 1, DType::f32, device);
  for (auto _ : state) {
    tape::backward(op.run(in), {.seed = seed});
    device.synchronize();
  }
  state.SetItemsProcessed(state.iterations() * elements(largest_of(op)));
}

void time_on(Device& device) {
  std::printf("%s\n", device.description().c_str());
  for (const OpCase& op : op_cases()) {
    const std::string name = fmt::format("{}/{}", op.name, elements(largest_of(op)));
    benchmark::RegisterBenchmark((name + "/forward").c_str(), [&op, &device](benchmark::State& state) { forward(state, op, device); })
        ->UseRealTime()
        ->Unit(benchmark::kMicrosecond);
    if (!op.recorded) continue;
    benchmark::RegisterBenchmark((name + "/backward").c_str(),
                                 [&op, &device](benchmark::State& state) { forward_and_backward(state, op, device); })
        ->UseRealTime()
        ->Unit(benchmark::kMicrosecond);
  }
}

}  // namespace

}  // namespace mirilla::bench

int main(int argc, char** argv) try {
  std::string name = "cpu";
  const std::string option = "--device=";
  if (argc > 1 && std::string(argv[1]).starts_with(option)) {
    name = std::string(argv[1]).substr(option.size());
    std::swap(argv[0], argv[1]);
    ++argv;
    --argc;
  }
  mirilla::bench::time_on(mirilla::open_device(name));
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
} catch (const mirilla::Error& error) {
  std::fprintf(stderr, "bench_ops: %s\n", error.what());
  return 1;
}
