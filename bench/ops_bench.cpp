// SPDX-License-Identifier: MIT
// Each operation of a ResNet18 training step on the host, batch 32 at 128 px: first compared with the reference device on two pictures,
// then timed on buffers that rotate beyond the caches. `--threads=N` comes before Google Benchmark's options; processor time is that of all
// threads.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kernels/core/device.h"
#include "kernels/core/philox.h"
#include "kernels/cpu/cpu.h"
#include "kernels/host/threads.h"
#include "kernels/reference/reference.h"

namespace mirilla::bench {

namespace {

/// f32 tensors (and one of indices) of one piece of work.
class Buffers {
 public:
  /// A tensor of random numbers in [-1,1).
  View add(const Shape& shape) {
    auto& values = arrays_.emplace_back(static_cast<size_t>(shape.numel()));
    const RandomKey key{.seed = arrays_.size()};
    for (size_t i = 0; i < values.size(); ++i) values[i] = 2 * to_unit(key.bits(static_cast<uint32_t>(i))) - 1;
    return {values.data(), shape, DType::f32, true};
  }
  View add_index(const Shape& shape) {
    auto& values = indices_.emplace_back(static_cast<size_t>(shape.numel()));
    return {values.data(), shape, DType::u8, true};
  }
  int64_t bytes() const {
    size_t total = 0;
    for (const auto& a : arrays_) total += a.size() * sizeof(float);
    for (const auto& i : indices_) total += i.size();
    return static_cast<int64_t>(total);
  }
  const std::vector<std::vector<float>>& arrays() const { return arrays_; }

 private:
  std::vector<std::vector<float>> arrays_;
  std::vector<std::vector<uint8_t>> indices_;
};

using Work = std::function<void(Backend&)>;

/// Builds the work for this many pictures; everything that it reads or writes is in the buffers.
struct Case {
  std::string name;
  std::function<Work(Buffers&, int64_t)> make;
  double flops_a_picture = 0;  // of products; 0 where memory traffic is what counts:
  double bytes_a_picture = 0;  // read and written
};

Case convolution(const char* direction, int64_t extent, int64_t channels, int64_t outputs, int kernel, int stride) {
  const Conv2dSpec spec{.stride = stride, .padding = kernel / 2, .dilation = 1};
  const int64_t out = (extent - 1) / stride + 1;
  const std::string kind = direction;
  const auto make = [=](Buffers& b, int64_t n) -> Work {
    const View x = b.add({n, extent, extent, channels}), w = b.add({outputs, kernel, kernel, channels}), y = b.add({n, out, out, outputs});
    if (kind == "forward") return [=](Backend& backend) { backend.run(op::Conv2d{x, w, {}, spec, y}); };
    if (kind == "data") return [=](Backend& backend) { backend.run(op::Conv2dBackwardData{y, w, spec, x}); };
    return [=](Backend& backend) { backend.run(op::Conv2dBackwardWeight{x, y, spec, w}); };
  };
  const auto flops = 2.0 * static_cast<double>(out * out * outputs * kernel * kernel * channels);
  return {fmt::format("conv2d_{}/{}x{}x{}->{}/k{}s{}", kind, extent, extent, channels, outputs, kernel, stride), make, flops};
}

/// The operands of every batch norm.
struct Norm {
  View x, y, dy, mean, inv_std, weight, bias;

  Norm(Buffers& b, int64_t n, int64_t extent, int64_t c)
      : x(b.add({n, extent, extent, c})),
        y(b.add({n, extent, extent, c})),
        dy(b.add({n, extent, extent, c})),
        mean(b.add({c})),
        inv_std(b.add({c})),
        weight(b.add({c})),
        bias(b.add({c})) {}
};

/// y = relu(norm(x) + residual), in one pass if the device can, else in three.
void norm_add_relu(Backend& backend, const Norm& o, View residual) {
  const bool fused = backend.has<op::BatchNormAddRelu>();
  backend.run(op::BatchNormApply{.x = o.x,
                                 .mean = o.mean,
                                 .inv_std = o.inv_std,
                                 .weight = o.weight,
                                 .bias = o.bias,
                                 .residual = fused ? residual : ConstView{},
                                 .relu = fused,
                                 .y = o.y,
                                 .normalized = {}});
  if (fused) return;
  backend.run(op::Add{o.y, residual, o.y});
  backend.run(op::Relu{o.y, o.y});
}

void norm_add_relu_backward(Backend& backend, const Norm& o, View dx, View dresidual) {
  const bool fused = backend.has<op::BatchNormAddRelu>();
  if (!fused) backend.run(op::ReluBackward{o.dy, o.y, dresidual});
  backend.run(op::BatchNormBackward{.dy = fused ? o.dy : dresidual,
                                    .x = o.x,
                                    .mean = o.mean,
                                    .inv_std = o.inv_std,
                                    .weight = o.weight,
                                    .y = fused ? ConstView(o.y) : ConstView{},
                                    .relu = fused,
                                    .training = true,
                                    .dx = dx,
                                    .dresidual = fused ? dresidual : View{},
                                    .dweight = {},
                                    .dbias = {}});
}

Case norm(const char* what, int64_t extent, int64_t c) {
  const std::string kind = what;
  const auto make = [=](Buffers& b, int64_t n) -> Work {
    const Norm o(b, n, extent, c);
    if (kind == "statistics") {
      return [=](Backend& backend) {
        backend.run(op::BatchNormStatistics{.x = o.x, .mean = o.mean, .inv_std = o.inv_std, .running_mean = {}, .running_var = {}});
      };
    }
    const View residual = b.add({n, extent, extent, c});
    if (kind == "add_relu") return [=](Backend& backend) { norm_add_relu(backend, o, residual); };
    const View dx = b.add({n, extent, extent, c});
    return [=](Backend& backend) { norm_add_relu_backward(backend, o, dx, residual); };
  };
  const double passes = kind == "statistics" ? 1
                        : kind == "add_relu" ? 3
                                             : 8;  // backward: dy, x, y for the sums and again for dx and dresidual
  return {fmt::format("batch_norm_{}/{}x{}x{}", kind, extent, extent, c), make, 0,
          passes * sizeof(float) * static_cast<double>(extent * extent * c)};
}

Case max_pool(bool backward) {
  const Pool2dSpec spec{.window = 3, .stride = 2, .padding = 1};
  const auto make = [=](Buffers& b, int64_t n) -> Work {
    const View x = b.add({n, 64, 64, 64}), y = b.add({n, 32, 32, 64}), index = b.add_index({n, 32, 32, 64});
    if (!backward) return [=](Backend& backend) { backend.run(op::MaxPool2d{x, spec, y, index}); };
    CpuBackend().run(op::MaxPool2d{x, spec, y, index});  // winners inside the picture
    return [=](Backend& backend) { backend.run(op::MaxPool2dBackward{y, index, spec, x}); };
  };
  constexpr double kBytes = 64 * 64 * 64 * sizeof(float) + 32 * 32 * 64 * (sizeof(float) + 1);
  return {backward ? "max_pool2d_backward/64x64x64" : "max_pool2d/64x64x64", make, 0, kBytes};
}

Case adam() {
  const auto make = [](Buffers& b, int64_t n) -> Work {  // as many parameters as in ResNet18, for 32 pictures
    const Shape shape{n, 350000};
    AdamTensor t{.parameter = b.add(shape),
                 .gradient = b.add(shape),
                 .m = b.add(shape),
                 .v = b.add(shape),
                 .learning_rate = 1e-3,
                 .weight_decay = 0.01};
    auto* v = t.v.data<float>();
    for (int64_t i = 0; i < t.v.numel(); ++i) v[i] = std::fabs(v[i]);
    const auto steps = std::make_shared<int64_t>(0);
    t.step = {steps.get(), {1}, DType::i64, true};
    return [t, steps](Backend& backend) { backend.run(op::Adam{{&t, 1}, {}, {}}); };
  };
  return {"adam/11.2M", make, 0, 350000 * 7 * sizeof(float)};
}

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const char* direction : {"forward", "data", "weight"}) {
    if (direction[0] != 'd') all.push_back(convolution(direction, 128, 3, 64, 7, 2));
    for (const auto& [extent, c] : {std::pair<int64_t, int64_t>{32, 64}, {16, 128}, {8, 256}, {4, 512}}) {
      if (c > 64) all.push_back(convolution(direction, 2 * extent, c / 2, c, 3, 2));
      if (c > 64) all.push_back(convolution(direction, 2 * extent, c / 2, c, 1, 2));
      all.push_back(convolution(direction, extent, c, c, 3, 1));
    }
  }
  for (const char* what : {"statistics", "add_relu", "add_relu_backward"}) {
    for (const auto& [extent, c] : {std::pair<int64_t, int64_t>{64, 64}, {32, 64}, {16, 128}, {8, 256}, {4, 512}})
      all.push_back(norm(what, extent, c));
  }
  all.push_back(max_pool(false));
  all.push_back(max_pool(true));
  all.push_back(adam());
  return all;
}

/// Whether two pictures of the case give the same on cpu and reference, within 1e-4 of the largest value.
bool agrees(const Case& c) {
  Buffers ours, theirs;
  CpuBackend cpu;
  ReferenceBackend reference;
  c.make(ours, 2)(cpu);
  c.make(theirs, 2)(reference);
  for (size_t i = 0; i < ours.arrays().size(); ++i) {
    const auto &a = ours.arrays()[i], &b = theirs.arrays()[i];
    float largest = 0;
    for (const float v : b) largest = std::max(largest, std::fabs(v));
    for (size_t at = 0; at < a.size(); ++at) {
      if (!(std::fabs(a[at] - b[at]) <= 1e-4f * largest)) return false;
    }
  }
  return true;
}

void time_case(benchmark::State& state, const Case& c) {
  if (!agrees(c)) {
    state.SkipWithError("disagrees with the reference device");
    return;
  }
  constexpr int64_t kPictures = 32, kBeyondCaches = int64_t{96} << 20;
  std::vector<std::unique_ptr<Buffers>> buffers;
  std::vector<Work> works;
  int64_t total = 0;
  while (total < kBeyondCaches) {
    buffers.push_back(std::make_unique<Buffers>());
    works.push_back(c.make(*buffers.back(), kPictures));
    total += buffers.back()->bytes();
  }
  CpuBackend cpu;
  works[0](cpu);
  size_t turn = 0;
  for (auto _ : state) works[turn++ % works.size()](cpu);
  if (c.flops_a_picture > 0) {
    state.counters["FLOP"] = benchmark::Counter(c.flops_a_picture * kPictures, benchmark::Counter::kIsIterationInvariantRate);
  } else {
    state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(c.bytes_a_picture) * kPictures);
  }
}

}  // namespace

}  // namespace mirilla::bench

int main(int argc, char** argv) {
  const std::string option = "--threads=";
  if (argc > 1 && std::string(argv[1]).starts_with(option)) {
    mirilla::set_host_threads(std::atoi(argv[1] + option.size()));
    std::swap(argv[0], argv[1]);
    ++argv;
    --argc;
  }
  std::printf("%s\n", mirilla::cpu_description().c_str());
  for (const auto& each : mirilla::bench::cases()) {
    benchmark::RegisterBenchmark(each.name.c_str(), [each](benchmark::State& state) { mirilla::bench::time_case(state, each); })
        ->MeasureProcessCPUTime()
        ->UseRealTime()
        ->Unit(benchmark::kMillisecond);
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
