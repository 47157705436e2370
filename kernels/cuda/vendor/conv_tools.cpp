// SPDX-License-Identifier: MIT
#include "kernels/cuda/vendor/conv_tools.h"

#include <algorithm>
#include <atomic>
#include <functional>
#include <future>
#include <thread>

#include "kernels/core/error.h"
#include "kernels/cuda/conv/channels.h"
#include "kernels/cuda/conv/own.h"

namespace mirilla::cuda::vendor {

namespace {

class CudnnPlan final : public ConvPlan {
 public:
  CudnnPlan(ConvGraph graph, Workspace& workspace) : graph_(std::move(graph)), workspace_(workspace), bytes_(graph_.workspace_bytes()) {}
  const ConvCandidate& what() const override { return graph_.built(); }
  size_t workspace_bytes() const override { return bytes_; }
  void run(const ConvBuffers& buffers) override { graph_.run(buffers, workspace_.at_least(bytes_)); }

 private:
  ConvGraph graph_;
  Workspace& workspace_;
  size_t bytes_;
};

constexpr std::string_view kRounded = "rounded ";  // prefix of such a plan's text

// cuDNN has few kernels that store f32 from halves or add a bias in f32 to them, and dozens that work in halves throughout. This plan is
// one of the latter with the bias rounded before or the gradient widened after it, unless the caller has the one and wants the other in
// halves (ConvPlans::rounds): one rounding more than ours, as in PyTorch's mixed precision.
class RoundedPlan final : public ConvPlan {
 public:
  RoundedPlan(ConvGraph graph, const ConvProblem& problem, Stream& stream, Workspace& workspace)
      : graph_(std::move(graph)), problem_(problem), stream_(stream), workspace_(workspace), plan_bytes_(graph_.workspace_bytes()) {
    const int64_t elements = is_forward() ? problem.k : elements_written(problem);
    what_ = graph_.built();
    what_.plan.insert(0, kRounded);
    what_.rounded = true;
    rounded_bytes_ = (static_cast<size_t>(elements) * size_of(problem.dtype) + kAlign - 1) / kAlign * kAlign;
  }
  const ConvCandidate& what() const override { return what_; }
  size_t workspace_bytes() const override { return rounded_bytes_ + plan_bytes_; }
  void run(const ConvBuffers& buffers) override {
    if (buffers.in_halves) return graph_.run(buffers, workspace_.at_least(plan_bytes_));
    char* const block = static_cast<char*>(workspace_.at_least(workspace_bytes()));
    ConvBuffers halves = buffers;
    (is_forward() ? halves.bias : halves.w) = block;
    if (is_forward()) narrow_to_halves(stream_, static_cast<const float*>(buffers.bias), block, problem_.dtype, problem_.k);
    graph_.run(halves, plan_bytes_ == 0 ? nullptr : block + rounded_bytes_);
    if (!is_forward()) widen_halves(stream_, block, problem_.dtype, static_cast<float*>(buffers.w), elements_written(problem_));
  }

 private:
  bool is_forward() const { return problem_.kind == ConvKind::forward; }

  static constexpr size_t kAlign = 256;
  ConvGraph graph_;
  ConvCandidate what_;
  ConvProblem problem_;
  Stream& stream_;
  Workspace& workspace_;
  size_t plan_bytes_, rounded_bytes_ = 0;
};

// A graph that this cuDNN does not accept has no plans.
template <class F>
auto unless_refused(F&& f) -> decltype(f()) {
  try {
    return f();
  } catch (const DeviceError&) {
    return {};
  }
}

Shape shape_of_x(const ConvProblem& p) { return {p.n, p.h, p.w, p.c}; }
Shape shape_of_w(const ConvProblem& p) { return {p.k, p.r, p.s, p.c}; }
Shape shape_of_y(const ConvProblem& p) { return {p.n, p.p, p.q, p.k}; }

ConstView read(const void* address, const Shape& shape, DType dtype) { return {address, shape, dtype, 0, 0, true}; }
View written(void* address, const Shape& shape, DType dtype) { return {address, shape, dtype, true}; }

}  // namespace

CudnnTools::CudnnTools(Stream& stream) : stream_(stream), chip_(ConvChip::here()), workspace_(stream) { chip_.use_stream(stream.native()); }

std::vector<ConvCandidate> CudnnTools::candidates(const ConvProblem& problem) {
  auto all = unless_refused([&] { return ConvGraph(problem, chip_).candidates(); });
  if (!may_be_rounded(problem)) return all;
  for (ConvCandidate& candidate : unless_refused([&] { return ConvGraph(in_halves(problem), chip_).candidates(); })) {
    candidate.plan.insert(0, kRounded);
    candidate.rounded = true;
    all.push_back(std::move(candidate));
  }
  return all;
}

std::unique_ptr<ConvPlan> CudnnTools::build_on(const ConvChip& chip, const ConvProblem& problem, const std::string& plan) {
  return unless_refused([&]() -> std::unique_ptr<ConvPlan> {
    const bool rounded = plan.starts_with(kRounded) && may_be_rounded(problem);
    const ConvProblem asked = rounded ? in_halves(problem) : problem;
    ConvGraph graph(asked, chip);
    if (!graph.build(rounded ? plan.substr(kRounded.size()) : plan)) return nullptr;
    graph.use(chip_);
    if (rounded) return std::make_unique<RoundedPlan>(std::move(graph), asked, stream_, workspace_);
    return std::make_unique<CudnnPlan>(std::move(graph), workspace_);
  });
}

std::vector<std::unique_ptr<ConvPlan>> CudnnTools::build_all(const ConvProblem& problem, const std::vector<std::string>& plans) {
  constexpr size_t kMostBuilders = 8;
  const size_t cores = std::max(1u, std::thread::hardware_concurrency());
  const size_t builders = std::min({plans.size(), cores, kMostBuilders});
  while (builders_.size() < builders) builders_.push_back(ConvChip::here());
  std::vector<std::unique_ptr<ConvPlan>> built(plans.size());
  std::atomic<size_t> next{0};
  const auto build_as = [&](const ConvChip& chip) {
    choose(stream_.index());  // a new thread has CUDA's first GPU
    for (size_t i = next++; i < plans.size(); i = next++) built[i] = build_on(chip, problem, plans[i]);
  };
  std::vector<std::future<void>> running;
  for (size_t i = 0; i < builders; ++i) running.push_back(std::async(std::launch::async, build_as, std::cref(builders_[i])));
  for (std::future<void>& one : running) one.get();
  return built;
}

void CudnnTools::run_own(const ConvProblem& p, const ConvBuffers& b) {
  switch (p.kind) {
    case ConvKind::forward:
      return own_conv2d(stream_, "conv2d",
                        {.x = read(b.x, shape_of_x(p), p.dtype),
                         .w = read(b.w, shape_of_w(p), p.dtype),
                         .bias = p.bias ? read(b.bias, {p.k}, p.bias_dtype) : ConstView(),
                         .residual = p.residual ? read(b.residual, shape_of_y(p), p.dtype) : ConstView(),
                         .relu = p.relu,
                         .spec = p.spec,
                         .y = written(b.y, shape_of_y(p), p.result)});
    case ConvKind::backward_data:
      return own_conv2d_backward_data(stream_, read(b.y, shape_of_y(p), p.dtype), read(b.w, shape_of_w(p), p.dtype), p.spec,
                                      written(b.x, shape_of_x(p), p.result));
    default:
      return own_conv2d_backward_weight(stream_, read(b.x, shape_of_x(p), p.dtype), read(b.y, shape_of_y(p), p.dtype), p.spec,
                                        written(b.w, shape_of_w(p), p.result));
  }
}

double CudnnTools::milliseconds(const std::function<void()>& work, int times) {
  start_.record(stream_);
  for (int i = 0; i < times; ++i) work();
  end_.record(stream_);
  end_.synchronize();
  return Event::milliseconds_between(start_, end_) / times;
}

ConvSample CudnnTools::sample(const ConvProblem& p) {
  const Shape shapes[] = {shape_of_x(p), shape_of_w(p), shape_of_y(p)};
  const int64_t elements[] = {
      shapes[0].numel(), shapes[1].numel(), shapes[2].numel(), p.bias ? p.k : 0, p.residual ? shapes[2].numel() : 0, elements_written(p)};
  constexpr size_t kAlign = 256, kElement = sizeof(float);  // size of the widest element
  const auto bytes_of = [](int64_t count) { return (static_cast<size_t>(count) * kElement + kAlign - 1) / kAlign * kAlign; };
  size_t bytes = 0;
  for (const int64_t count : elements) bytes += bytes_of(count);
  scratch_.emplace(stream_, bytes);
  char* next = scratch_->as<char>();
  uint32_t seed = 0;
  const auto place = [&](int64_t count, DType dtype) -> void* {
    if (count == 0) return nullptr;
    char* const here = std::exchange(next, next + bytes_of(count));
    fill_uniform(stream_, here, dtype, count, ++seed);
    return here;
  };
  ConvSample sample;
  sample.buffers.x = place(elements[0], p.dtype);
  sample.buffers.w = place(elements[1], p.dtype);
  sample.buffers.y = place(elements[2], p.dtype);
  sample.buffers.bias = place(elements[3], p.bias_dtype);
  sample.buffers.residual = place(elements[4], p.dtype);
  sample.elsewhere = next;
  return sample;
}

Distance CudnnTools::distance(const void* ours, const void* theirs, DType dtype, int64_t count) {
  const Scratch result(stream_, 2 * sizeof(float));
  largest_and_apart(stream_, ours, theirs, dtype, count, result.as<float>());
  float values[2] = {};
  stream_.copy_to_host(values, result.as<float>(), sizeof values);
  return {values[0], values[1]};
}

}  // namespace mirilla::cuda::vendor
