// SPDX-License-Identifier: MIT
// Networks from several threads at once, and from inside OpenMP regions: the same bytes as from one thread.
#include <gtest/gtest.h>
#include <omp.h>

#include <cmath>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "kernels/devices.h"
#include "kernels/host/threads.h"
#include "nn/modules/resnet.h"
#include "nn/run/inference.h"
#include "nn/train/learner.h"
#include "tests/nn/synthetic.h"

namespace mirilla::nn {
namespace {

constexpr int kClasses = 4, kSize = 32;

using Work = std::function<void(int caller)>;

// Two concurrent callers, in each form.
void on_two_threads(const Work& work) {
  std::thread first([&] { work(0); }), second([&] { work(1); });
  first.join();
  second.join();
}
void in_a_region(const Work& work) {
#pragma omp parallel num_threads(2)
  work(omp_get_thread_num());
}
void in_nested_regions(const Work& work) {
  const int levels = omp_get_max_active_levels();
  omp_set_max_active_levels(3);
#pragma omp parallel num_threads(2)
  {
    const int caller = omp_get_thread_num();
#pragma omp parallel num_threads(2)
    {
#pragma omp master
      work(caller);
    }
  }
  omp_set_max_active_levels(levels);
}

const std::vector<std::pair<std::string, std::function<void(const Work&)>>>& ways() {
  static const std::vector<std::pair<std::string, std::function<void(const Work&)>>> all{
      {"two threads", on_two_threads}, {"a region", in_a_region}, {"nested regions", in_nested_regions}};
  return all;
}

std::unique_ptr<ResNet> network(uint64_t seed) {
  return std::make_unique<ResNet>(ResNetSpec{.classes = kClasses, .seed = seed}, Placement{open_device("cpu")});
}

Tensor pictures(int n, float shift) {
  std::vector<float> values(static_cast<size_t>(n * kSize * kSize * 3));
  for (size_t i = 0; i < values.size(); ++i) values[i] = std::sin(static_cast<float>(i) * 0.37f + shift);
  return from_host(values, {n, kSize, kSize, 3}, open_device("cpu"));
}

std::vector<float> answer(ResNet& model, float shift, amp::Precision precision = amp::Precision::fp32) {
  Inference inference(model, precision);
  return inference(pictures(3, shift)).to(DType::f32).to_vector<float>();
}

class OpenmpNetworks : public testing::Test {
 protected:
  void SetUp() override { set_host_threads(2); }
  void TearDown() override { set_host_threads(0); }
};

TEST_F(OpenmpNetworks, OfTheirOwnAnswerAsAlone) {
  const auto first = network(1), second = network(2);
  const std::vector<float> want[2] = {answer(*first, 0), answer(*second, 1)};
  for (const auto& [name, in] : ways()) {
    std::vector<float> got[2];
    in([&](int caller) {
      for (int i = 0; i < 3; ++i) got[caller] = answer(caller == 0 ? *first : *second, static_cast<float>(caller));
    });
    EXPECT_EQ(got[0], want[0]) << name;
    EXPECT_EQ(got[1], want[1]) << name;
  }
}

// Folded norms and half copies are made while both run, since the network is new.
TEST_F(OpenmpNetworks, OneAnswersSeveralCallersAsAlone) {
  for (const amp::Precision precision : {amp::Precision::fp32, amp::Precision::bf16}) {
    const std::vector<float> want[2] = {answer(*network(1), 0, precision), answer(*network(1), 1, precision)};
    for (const auto& [name, in] : ways()) {
      const auto shared = network(1);
      std::vector<float> got[2];
      in([&](int caller) { got[caller] = answer(*shared, static_cast<float>(caller), precision); });
      EXPECT_EQ(got[0], want[0]) << name;
      EXPECT_EQ(got[1], want[1]) << name;
      EXPECT_TRUE(shared->training()) << name << ": the mode it had before";
    }
  }
}

std::vector<std::vector<float>> trained(uint64_t seed) {
  const auto model = network(seed);
  LearnerOptions options;
  options.seed = seed;
  options.batch_size = 4;
  Learner learner(*model, std::make_unique<StripedBatches>(8, 4, kSize, kClasses), std::make_unique<StripedBatches>(4, 4, kSize, kClasses),
                  small_info(kClasses, kSize), options);
  learner.fit_one_cycle(1, 1e-3);
  return values_of(*model);
}

TEST_F(OpenmpNetworks, TrainAtOnceAsAlone) {
  const std::vector<std::vector<float>> want[2] = {trained(1), trained(2)};
  for (const auto& [name, in] : ways()) {
    std::vector<std::vector<float>> got[2];
    in([&](int caller) { got[caller] = trained(caller == 0 ? 1 : 2); });
    EXPECT_TRUE(got[0] == want[0]) << name;
    EXPECT_TRUE(got[1] == want[1]) << name;
  }
}

TEST(EvaluationModes, ThatOverlapEndWithTheLast) {
  const auto model = network(1);
  auto first = std::make_unique<EvaluationMode>(*model);
  EXPECT_FALSE(model->training());
  auto second = std::make_unique<EvaluationMode>(*model);
  first = nullptr;
  EXPECT_FALSE(model->training()) << "the second still evaluates";
  second = nullptr;
  EXPECT_TRUE(model->training());
  {
    const EvaluationMode outer(*model);
    model->train();
    {
      const EvaluationMode inner(*model);
      EXPECT_FALSE(model->at("bn1").training());
    }
    EXPECT_TRUE(model->training()) << "what the inner one found";
  }
  EXPECT_TRUE(model->training());
}

// Signals that it runs, and waits for a signal to continue.
class Pausing final : public Module {
 public:
  std::string_view kind() const override { return "Pausing"; }
  std::promise<void> here, go_on;
  bool pauses = true;

 protected:
  Tensor forward(const Tensor& x) override {
    if (std::exchange(pauses, false)) {
      here.set_value();
      go_on.get_future().wait();
    }
    return x;
  }
};

TEST(WatchedNetworks, AreRefusedToASecondThreadWhileOneRunsThem) {
  Pausing module;
  Watch watch = module.watch("");
  const Tensor x = full({2}, 1, DType::f32, open_device("cpu"));
  std::thread first([&] { module(x); });
  module.here.get_future().wait();
  std::string message;
  try {
    module(full({2}, 2, DType::f32, open_device("cpu")));
  } catch (const Error& error) {
    message = error.message();
  }
  module.go_on.set_value();
  first.join();
  EXPECT_EQ(message, "Pausing is watched, but two threads run it at once");
  EXPECT_EQ(watch.calls(), 1u);
  EXPECT_EQ(watch.activation().to_vector<float>(), (std::vector<float>{1, 1}));
  module(full({2}, 3, DType::f32, open_device("cpu")));  // one after the other is allowed
  EXPECT_EQ(watch.activation().to_vector<float>(), (std::vector<float>{3, 3}));
}

}  // namespace
}  // namespace mirilla::nn
