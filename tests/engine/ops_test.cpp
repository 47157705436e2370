// SPDX-License-Identifier: MIT
// The promises that every operator keeps. The cases are in op_cases.cpp.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "engine/allocator.h"
#include "engine/gradient_check.h"
#include "engine/ops/add.h"
#include "engine/ops/max_pool2d.h"
#include "engine/tape.h"
#include "kernels/devices.h"
#include "tests/engine/op_case.h"

namespace mirilla {
namespace {

std::vector<double> absolute(std::vector<double> values) {
  for (double& value : values) value = std::fabs(value);
  return values;
}

std::vector<double> scaled(std::vector<double> values, double factor) {
  for (double& value : values) value *= factor;
  return values;
}

// The allowed error of each element. `terms` is the operator's result for the absolute inputs.
std::vector<double> allowance(const OpCase& op, const std::vector<double>& want, const std::vector<double>& terms) {
  std::vector<double> allowed(want.size(), 0.0);
  double largest = 0;
  for (const double value : want) largest = std::max(largest, std::fabs(value));
  for (size_t i = 0; i < want.size(); ++i) {
    if (op.within == Within::largest) allowed[i] = op.tolerance * largest;
    if (op.within == Within::terms) allowed[i] = op.tolerance * std::fabs(terms[i]);
  }
  return allowed;
}

void expect_close(const std::vector<double>& got, std::vector<double> want, const std::vector<double>& allowed, bool rounded) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < got.size(); ++i) {
    if (rounded) want[i] = static_cast<double>(static_cast<float>(want[i]));
    ASSERT_LE(std::fabs(got[i] - want[i]), allowed[i]) << "element " << i << " is " << got[i] << " and should be " << want[i];
    ASSERT_FALSE(std::isnan(got[i])) << "element " << i;
  }
}

// One run of a case: its inputs, a gradient for the backward pass, and the expected results.
struct Trial {
  const OpCase& op;
  std::vector<Shape> shapes;
  Values values;
  std::vector<double> seed;
  Outcome truth, terms;

  Trial(const OpCase& which, const std::vector<Shape>& of) : op(which), shapes(of), values(draw_inputs(op, shapes)) {
    Device& reference = open_device("reference");
    Values positive;
    for (const auto& input : values) positive.push_back(absolute(input));
    {
      const tape::NoGrad no_grad;
      const Tensor y = op.run(tensors_of(values, shapes, DType::f64, reference));
      seed = draw(y.numel(), -1, 1, 99);
      if (!op.recorded) truth.y = y.to_doubles();
      if (!op.recorded && op.within == Within::terms) terms.y = op.run(tensors_of(positive, shapes, DType::f64, reference)).to_doubles();
    }
    if (!op.recorded) return;
    truth = execute(op, shapes, values, seed, DType::f64, reference);
    if (op.within == Within::terms) terms = linear_terms(positive, reference);
  }

  // A maximum depends on signs, so the terms of its gradient follow the winners of the true inputs.
  Outcome linear_terms(const Values& positive, Device& reference) const {
    Outcome outcome = execute(op, shapes, positive, absolute(seed), DType::f64, reference);
    if (op.draw == Draw::without_ties) outcome.gradients = execute(op, shapes, values, absolute(seed), DType::f64, reference).gradients;
    return outcome;
  }
};

class Ops : public ::testing::TestWithParam<size_t> {
 protected:
  const OpCase& op_ = op_cases()[GetParam()];

  template <class F>
  void for_each_run(F&& f) {
    for (const auto& shapes : op_.inputs) {
      std::string trace;
      for (const Shape& shape : shapes) trace += to_string(shape);
      SCOPED_TRACE(trace);
      f(Trial(op_, shapes));
      if (HasFatalFailure()) return;
    }
  }

  template <class F>
  void for_each_device(F&& f) {
    for (const std::string& name : device_names()) {
      SCOPED_TRACE(name);
      f(open_device(name));
      if (HasFatalFailure()) return;
    }
  }

 private:
  Poison poison_;
};

TEST_P(Ops, ForwardAgreesWithTheReferenceInDoubleOnEveryDevice) {
  for_each_run([&](const Trial& run) {
    const bool exact = op_.selects || op_.within == Within::rounding;
    const std::vector<double> allowed = exact ? std::vector<double>(run.truth.y.size(), 0.0) : allowance(op_, run.truth.y, run.terms.y);
    for_each_device([&](Device& device) {
      const tape::NoGrad no_grad;
      const Tensor y = op_.run(tensors_of(run.values, run.shapes, DType::f32, device));
      EXPECT_EQ(y.dtype(), DType::f32);
      expect_close(y.to_doubles(), run.truth.y, allowed, exact);
    });
  });
}

TEST_P(Ops, BackwardAgreesWithCentralDifferences) {
  if (!op_.recorded) return;
  for_each_run([&](const Trial& run) {
    const std::vector<Tensor> in = tensors_of(run.values, run.shapes, DType::f64, open_device("reference"));
    const GradientCheck check = check_gradient(op_.run, in, {.elements = 24});  // the rest follow the same code
    ASSERT_TRUE(check.good) << check.text;
  });
}

TEST_P(Ops, GradientsAgreeWithTheReferenceInDoubleOnEveryDevice) {
  if (!op_.recorded) return;
  for_each_run([&](const Trial& run) {
    for_each_device([&](Device& device) {
      const Outcome outcome = execute(op_, run.shapes, run.values, run.seed, DType::f32, device);
      for (size_t i = 0; i < outcome.gradients.size(); ++i) {
        SCOPED_TRACE("gradient of input " + std::to_string(i));
        ASSERT_TRUE(outcome.gradients[i].has_value());
        const std::vector<double>& want = *run.truth.gradients[i];
        const std::vector<double> terms = op_.within == Within::terms ? *run.terms.gradients[i] : std::vector<double>();
        expect_close(*outcome.gradients[i], want, allowance(op_, want, terms), op_.within == Within::rounding);
      }
    });
  });
}

TEST_P(Ops, ComputesOnlyTheGradientsThatAreWanted) {
  if (!op_.recorded) return;
  for_each_run([&](const Trial& run) {
    for_each_device([&](Device& device) {
      const Outcome all = execute(op_, run.shapes, run.values, run.seed, DType::f32, device);
      for (size_t only = 0; only < run.values.size(); ++only) {
        std::vector<bool> wanted(run.values.size(), false);
        wanted[only] = true;
        const Outcome one = execute(op_, run.shapes, run.values, run.seed, DType::f32, device, wanted);
        for (size_t i = 0; i < run.values.size(); ++i) ASSERT_EQ(one.gradients[i].has_value(), i == only);
        ASSERT_EQ(*one.gradients[only], *all.gradients[only]) << "input " << only << " alone";
      }
    });
  });
}

TEST_P(Ops, RecordsNothingWhereNothingWantsAGradientOrWatches) {
  for_each_run([&](const Trial& run) {
    for_each_device([&](Device& device) {
      std::vector<Tensor> in = tensors_of(run.values, run.shapes, DType::f32, device);
      EXPECT_EQ(op_.run(in).requires_grad(), op_.watches);
      for (Tensor& input : in) input.set_requires_grad();
      const tape::NoGrad no_grad;
      EXPECT_EQ(op_.run(in).requires_grad(), op_.watches);
    });
  });
}

TEST_P(Ops, GivesTheSameBitsEachTime) {
  for_each_run([&](const Trial& run) {
    for_each_device([&](Device& device) {
      const tape::NoGrad no_grad;
      const std::vector<Tensor> in = tensors_of(run.values, run.shapes, DType::f32, device);
      const std::vector<double> first = op_.run(in).to_doubles();
      ASSERT_EQ(op_.run(in).to_doubles(), first);
    });
    if (!op_.recorded) return;
    for_each_device([&](Device& device) {
      const Outcome first = execute(op_, run.shapes, run.values, run.seed, DType::f32, device);
      ASSERT_EQ(execute(op_, run.shapes, run.values, run.seed, DType::f32, device).gradients, first.gradients);
    });
  });
}

TEST_P(Ops, AddsUpTheGradientsOfTensorsUsedTwiceAndOfTwoBackwards) {
  if (!op_.recorded) return;
  for_each_run([&](const Trial& run) {
    for_each_device([&](Device& device) {
      const Outcome once = execute(op_, run.shapes, run.values, run.seed, DType::f32, device);
      std::vector<Tensor> in = tensors_of(run.values, run.shapes, DType::f32, device);
      for (Tensor& input : in) input.set_requires_grad();
      const Tensor twice = add(op_.run(in), op_.run(in));
      const Tensor seed = tensor_of(run.seed, twice.shape(), DType::f32, device);
      tape::backward(twice, {.seed = seed});
      const auto expect_multiple = [&](double factor) {
        for (size_t i = 0; i < in.size(); ++i) {
          std::vector<double> want = *once.gradients[i];
          for (double& value : want) value = static_cast<double>(static_cast<float>(factor * value));
          const std::vector<double> got = in[i].grad().to_doubles();
          SCOPED_TRACE(std::to_string(factor) + " times the gradient of input " + std::to_string(i));
          if (op_.composed) {
            expect_close(got, want, scaled(allowance(op_, want, *run.terms.gradients[i]), factor), false);
          } else {
            ASSERT_EQ(got, want);
          }
        }
      };
      expect_multiple(2);
      tape::backward(op_.run(in), {.seed = seed});
      expect_multiple(3);
    });
  });
}

TEST_P(Ops, NoticesIfWhatBackwardNeedsWasOverwritten) {
  if (!op_.recorded) return;
  const Trial run(op_, op_.inputs.front());
  for_each_device([&](Device& device) {
    const Outcome untouched = execute(op_, run.shapes, run.values, run.seed, DType::f32, device);
    for (size_t overwritten = 0; overwritten <= run.values.size(); ++overwritten) {
      const bool output = overwritten == run.values.size();
      std::vector<Tensor> in = tensors_of(run.values, run.shapes, DType::f32, device);
      for (Tensor& input : in) input.set_requires_grad();
      Tensor y = op_.run(in);
      (output ? y : in[overwritten]).detach().fill(0.5);
      const bool reads_output = op_.saves_output && !(op_.leaves_mask && device.backend().has<op::ReluMask>());
      const bool needed = output ? reads_output : std::count(op_.saves.begin(), op_.saves.end(), overwritten) > 0;
      const auto back = [&] { tape::backward(y, {.seed = tensor_of(run.seed, y.shape(), DType::f32, device)}); };
      if (needed) {
        EXPECT_THROW(back(), Error) << (output ? "output" : "input " + std::to_string(overwritten));
        continue;
      }
      back();
      for (size_t i = 0; i < in.size(); ++i) EXPECT_EQ(in[i].grad().to_doubles(), *untouched.gradients[i]);
    }
  });
}

TEST_P(Ops, WritesNothingIntoItsInputs) {
  for_each_run([&](const Trial& run) {
    for_each_device([&](Device& device) {
      std::vector<Tensor> in = tensors_of(run.values, run.shapes, DType::f32, device);
      std::vector<uint64_t> versions;
      for (Tensor& input : in) {
        if (op_.recorded) input.set_requires_grad();
        versions.push_back(input.version());
      }
      const Tensor y = op_.run(in);
      if (op_.recorded) tape::backward(y, {.seed = tensor_of(run.seed, y.shape(), DType::f32, device)});
      for (size_t i = 0; i < in.size(); ++i) {
        EXPECT_EQ(in[i].version(), versions[i]) << "input " << i;
        EXPECT_EQ(in[i].to_doubles(), run.values[i]) << "input " << i;
      }
    });
  });
}

std::vector<size_t> every_case() {
  std::vector<size_t> all(op_cases().size());
  for (size_t i = 0; i < all.size(); ++i) all[i] = i;
  return all;
}

TEST(MaxPool2d, MakesRoomForThePlacesOnlyWhereTheTapeRecords) {
  for (const std::string_view name : {"cpu", "simt"}) {
    Device& device = open_device(name);
    Tensor x = zeros({2, 8, 8, 4}, DType::f32, device);
    const Allocator& allocator = Allocator::of(device);
    const auto allocations = [&] {
      const uint64_t before = allocator.statistics().allocations;
      max_pool2d(x, {.window = 3, .stride = 2, .padding = 1});
      return allocator.statistics().allocations - before;
    };
    EXPECT_EQ(allocations(), 1u) << "y";
    x.set_requires_grad();
    EXPECT_EQ(allocations(), 2u) << "y and the places";
    const tape::NoGrad no_grad;
    EXPECT_EQ(allocations(), 1u) << "y";
  }
}

INSTANTIATE_TEST_SUITE_P(Every, Ops, ::testing::ValuesIn(every_case()), [](const auto& which) { return op_cases()[which.param].name; });

}  // namespace
}  // namespace mirilla
