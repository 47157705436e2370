// SPDX-License-Identifier: MIT
#include "nn/train/late_losses.h"

#include <gtest/gtest.h>

#include <cmath>

#include "kernels/devices.h"
#include "kernels/host/threads.h"
#include "nn/train/learner.h"
#include "tests/nn/synthetic.h"
#include "tests/nn/wrapped_device.h"

namespace mirilla::nn {
namespace {

WrappedDevice& late_device(size_t late) {
  WrappedDevice& device = *std::make_unique<WrappedDevice>("cpu").release();
  device.late = late;
  return device;
}

Tensor loss_of(double value, Device& device, DType dtype = DType::f32) { return full({}, value, dtype, device); }

TEST(LateLosses, ComeAtOnceWhereTheDeviceIsNeverBehind) {
  for (const auto& [name, dtype] : {std::pair{"cpu", DType::f32}, {"reference", DType::f64}, {"simt", DType::f32}}) {
    Device& device = open_device(name);
    LateLosses losses(device);
    losses.send(3, loss_of(0.1, device, dtype));
    const auto came = losses.arrived();
    ASSERT_EQ(came.size(), 1u);
    EXPECT_EQ(came[0].step, 3);
    EXPECT_EQ(came[0].value, dtype == DType::f64 ? 0.1 : double{0.1f});
    EXPECT_TRUE(losses.arrived().empty());
  }
}

TEST(LateLosses, ComeInOrderAndAsTheyWereWhenTheyWereSent) {
  WrappedDevice& device = late_device(2);
  LateLosses losses(device);
  Tensor loss = loss_of(0, device);
  std::vector<double> values;
  for (int step = 0; step < 5; ++step) {
    loss.fill(step * 0.5);  // the one address for the loss of every step
    losses.send(step, loss);
    for (const LateLosses::Loss& came : losses.arrived()) {
      EXPECT_EQ(came.step, static_cast<int64_t>(values.size()));
      values.push_back(came.value);
    }
    EXPECT_EQ(values.size(), step < 2 ? 0u : static_cast<size_t>(step - 1));
  }
  EXPECT_EQ(device.waits, 0);
  for (const LateLosses::Loss& came : losses.all()) values.push_back(came.value);
  EXPECT_EQ(values, (std::vector<double>{0, 0.5, 1, 1.5, 2}));
}

TEST(LateLosses, WaitForTheFirstWhereThereIsNoRoomForMore) {
  WrappedDevice& device = late_device(1000000);
  LateLosses losses(device);
  for (int step = 0; step < 64; ++step) losses.send(step, loss_of(step, device));
  EXPECT_EQ(device.waits, 0);
  losses.send(64, loss_of(64, device));
  EXPECT_EQ(device.waits, 1);
  const auto all = losses.all();
  ASSERT_EQ(all.size(), 65u);
  for (int step = 0; step < 65; ++step) EXPECT_EQ(all[static_cast<size_t>(step)].value, step);
}

// --- In the learner
// --------------------------------------------------------------------------------------------------------------------------

class Reports final : public Callback {
 public:
  Order order() const override { return Order::show; }
  void after_batch(const BatchReport& report) override {
    losses.push_back(report.loss_known ? report.train_loss : -1);
    if (on_batch) on_batch();
  }

  std::vector<double> losses;
  std::function<void()> on_batch;
};

struct Fit {
  explicit Fit(Device& device, const LearnerOptions& options = {})
      : model({.classes = 4, .seed = 3}, {device}),
        learner(model, std::make_unique<StripedBatches>(20, 4, 32, 4), std::make_unique<StripedBatches>(4, 4, 32, 4), small_info(4),
                options) {
    learner.add(reports);
  }

  ResNet model;
  Learner learner;
  Reports reports;
};

TEST(LateLosses, LeaveTheRecordOfALearnerWhoseLossesWereNeverLate) {
  set_host_threads(1);
  Fit prompt(open_device("cpu")), late(late_device(3));
  for (Fit* fit : {&prompt, &late}) fit->learner.fit_one_cycle(1, 1e-3);
  const Recorder &want = prompt.learner.recorder(), &got = late.learner.recorder();
  ASSERT_EQ(got.steps().size(), 5u);
  for (size_t i = 0; i < 5; ++i) {
    EXPECT_EQ(got.steps()[i].loss, want.steps()[i].loss);
    EXPECT_EQ(got.steps()[i].train_loss, want.steps()[i].train_loss);
  }
  ASSERT_EQ(got.epochs().size(), 1u);
  EXPECT_EQ(got.epochs()[0].train_loss, want.epochs()[0].train_loss);
  EXPECT_EQ(got.epochs()[0].valid_loss, want.epochs()[0].valid_loss);
  EXPECT_EQ(values_of(late.model), values_of(prompt.model));
  EXPECT_EQ(late.reports.losses[0], -1);  // none known yet
  EXPECT_EQ(late.reports.losses[4], want.steps()[2].train_loss) << "marks are made by inputs too, so a loss is less than three steps late";
  for (size_t i = 0; i < 5; ++i) EXPECT_EQ(prompt.reports.losses[i], want.steps()[i].train_loss);
}

TEST(LateLosses, AreAllThereAfterAnInterrupt) {
  set_host_threads(1);
  std::atomic<bool> interrupt = false;
  Fit fit(late_device(4), {.interrupt = &interrupt});
  fit.reports.on_batch = [&] { interrupt = fit.reports.losses.size() == 3; };
  EXPECT_THROW(fit.learner.fit_one_cycle(1, 1e-3), Interrupted);
  ASSERT_EQ(fit.learner.recorder().steps().size(), 3u);
  for (const StepRow& row : fit.learner.recorder().steps()) EXPECT_TRUE(std::isfinite(row.train_loss));
}

TEST(LateLosses, MakeTrainBatchWaitForItsOwn) {
  set_host_threads(1);
  Fit prompt(open_device("cpu")), late(late_device(5));
  const data::Batch batch = StripedBatches(4, 4, 32, 4).batches()[0];
  for (Fit* fit : {&prompt, &late}) fit->model.train();
  const Rates rates{.lr = {1e-3, 1e-3, 1e-3}, .momentum = 0.9};
  for (int step = 0; step < 2; ++step) EXPECT_EQ(late.learner.train_batch(batch, rates), prompt.learner.train_batch(batch, rates));
}

TEST(Learner, RefusesALabelBeforeTheDeviceHasSeenIt) {
  set_host_threads(1);
  Fit fit(open_device("cpu"));
  data::Batch batch = StripedBatches(4, 4, 32, 4).batches()[0];
  batch.labels[2] = 4;
  const auto before = values_of(fit.model);
  EXPECT_THROW(fit.learner.train_batch(batch, {.lr = {1, 1, 1}, .momentum = 0.9}), ShapeError);
  EXPECT_EQ(values_of(fit.model), before);
}

}  // namespace
}  // namespace mirilla::nn
