// SPDX-License-Identifier: MIT
// Every operator against what PyTorch (and for Adam, fastai) computed in double: tests/oracle/make_ops.py wrote the files and says what is
// in them.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <nlohmann/json.hpp>
#include <ostream>

#include "engine/ops/adaptive_pool2d.h"
#include "engine/ops/add.h"
#include "engine/ops/batch_norm.h"
#include "engine/ops/conv2d.h"
#include "engine/ops/cross_entropy.h"
#include "engine/ops/linear.h"
#include "engine/ops/max_pool2d.h"
#include "engine/ops/reductions.h"
#include "engine/ops/relu.h"
#include "engine/tape.h"
#include "kernels/devices.h"
#include "tests/engine/op_case.h"
#include "weights/safetensors.h"

namespace mirilla {
namespace {

struct Way {
  std::string device;
  DType dtype;
};

void PrintTo(const Way& way, std::ostream* out) { *out << way.device << " " << name_of(way.dtype); }

std::vector<Way> ways() {
  std::vector<Way> all{{"reference", DType::f64}};
  for (const std::string& name : device_names()) all.push_back({name, DType::f32});
  return all;
}

// One case of one operator's file, as tensors of one device and dtype.
class Case {
 public:
  Case(const weights::StateDict& file, size_t number, const Way& way)
      : file_(file), prefix_(fmt::format("case{}", number)), way_(way), attributes_(nlohmann::json::parse(file.metadata.at(prefix_))) {}

  bool has(const std::string& name) const { return file_.contains(prefix_ + "." + name); }
  const weights::Array& array(const std::string& name) const { return file_.at(prefix_ + "." + name); }
  const nlohmann::json& attributes() const { return attributes_; }
  int integer(const char* name) const { return attributes_.at(name).get<int>(); }
  double number(const char* name) const { return attributes_.at(name).get<double>(); }
  bool flag(const char* name) const { return attributes_.at(name).get<bool>(); }

  /// In the dtype under test if the file has doubles, else in the file's dtype. No tensor if the file lacks it.
  Tensor tensor(const std::string& name) const {
    if (!has(name)) return {};
    const weights::Array& from = array(name);
    Device& device = open_device(way_.device);
    if (from.dtype() != DType::f64) return from_bytes(from.bytes(), from.shape(), from.dtype(), device);
    const auto values = from.values<double>();
    return tensor_of({values.begin(), values.end()}, from.shape(), way_.dtype, device);
  }
  Tensor leaf(const std::string& name) const {
    Tensor result = tensor(name);
    if (result) result.set_requires_grad();
    return result;
  }

  /// Relative to the largest element, or to `floor` if that is more: a sum that cancels is as exact as its terms are.
  void expect(const std::string& name, const Tensor& got, double floor = 0) const {
    SCOPED_TRACE(prefix_ + "." + name);
    ASSERT_TRUE(got) << "nothing was computed";
    const weights::Array& array = this->array(name);
    ASSERT_EQ(got.shape(), array.shape());
    const auto want = array.values<double>();
    const std::vector<double> values = got.to_doubles();
    double largest = floor;
    for (const double value : want)
      if (std::isfinite(value)) largest = std::max(largest, std::fabs(value));
    const double allowed = largest * (way_.dtype == DType::f64 ? 2e-14 : 2e-6);
    for (size_t i = 0; i < values.size(); ++i) {
      if (!std::isfinite(want[i])) {
        ASSERT_TRUE(values[i] == want[i] || (std::isnan(values[i]) && std::isnan(want[i])))
            << i << ": " << values[i] << ", not " << want[i];
      } else {
        ASSERT_LE(std::fabs(values[i] - want[i]), allowed) << "element " << i << " is " << values[i] << " and should be " << want[i];
      }
    }
  }
  template <class T>
  void expect_equal(const std::string& name, const Tensor& got) const {
    const auto want = array(name).values<T>();
    EXPECT_EQ(got.to_vector<T>(), std::vector<T>(want.begin(), want.end())) << prefix_ << "." << name;
  }
  /// Runs backward with the case's dy, then compares d<name> for each of the leaves.
  void expect_gradients(const Tensor& y, const std::map<std::string, Tensor>& leaves, double floor = 0) const {
    tape::backward(y, {.seed = tensor("dy")});
    for (const auto& [name, leaf] : leaves)
      if (leaf) expect("d" + name, leaf.grad(), floor);
  }

 private:
  const weights::StateDict& file_;
  std::string prefix_;
  Way way_;
  nlohmann::json attributes_;
};

class Oracle : public ::testing::TestWithParam<Way> {
 protected:
  template <class F>
  void for_each_case(const std::string& op, F&& f) {
    const weights::StateDict file = weights::read_safetensors(fmt::format(MIRILLA_SOURCE_DIR "/tests/oracle/ops/{}.safetensors", op));
    size_t cases = 0;
    for (; file.metadata.contains(fmt::format("case{}", cases)); ++cases) {
      SCOPED_TRACE(fmt::format("{} case {}: {}", op, cases, file.metadata.at(fmt::format("case{}", cases))));
      f(Case(file, cases, GetParam()));
      if (HasFatalFailure()) return;
    }
    EXPECT_GT(cases, 0u);
  }

  bool takes(DType dtype) const { return dtype != DType::f64 || GetParam().device == "reference"; }

 private:
  Poison poison_;
};

TEST_P(Oracle, Conv2d) {
  for_each_case("conv2d", [](const Case& oracle) {
    const Tensor x = oracle.leaf("x"), w = oracle.leaf("w"), b = oracle.leaf("b");
    const Conv2dSpec spec{oracle.integer("stride"), oracle.integer("padding"), oracle.integer("dilation")};
    const Tensor y = conv2d(x, w, b, spec);
    oracle.expect("y", y);
    oracle.expect_gradients(y, {{"x", x}, {"w", w}, {"b", b}});
  });
}

TEST_P(Oracle, BatchNorm) {
  for_each_case("batch_norm", [](const Case& oracle) {
    const Tensor x = oracle.leaf("x"), residual = oracle.leaf("residual");
    BatchNormState state{oracle.leaf("weight"),        oracle.leaf("bias"),  oracle.tensor("running_mean"),
                         oracle.tensor("running_var"), oracle.number("eps"), oracle.number("momentum")};
    const bool training = oracle.flag("training");
    Tensor y;
    if (oracle.flag("relu")) {
      y = batch_norm_add_relu(x, state, residual, training).y;
    } else {
      y = batch_norm(x, state, training);
      if (residual) y = add(y, residual);
    }
    oracle.expect("y", y);
    oracle.expect("running_mean_after", state.running_mean);
    oracle.expect("running_var_after", state.running_var);
    // With two values per channel, dx is a difference of numbers as large as dy / std.
    oracle.expect_gradients(y, {{"x", x}, {"weight", state.weight}, {"bias", state.bias}, {"residual", residual}}, 2);
  });
}

TEST_P(Oracle, Relu) {
  for_each_case("relu", [](const Case& oracle) {
    const Tensor x = oracle.leaf("x");
    const Tensor y = relu(x);
    oracle.expect("y", y);
    if (oracle.has("dy")) oracle.expect_gradients(y, {{"x", x}});
  });
}

TEST_P(Oracle, Add) {
  for_each_case("add", [](const Case& oracle) {
    const Tensor a = oracle.leaf("a"), b = oracle.leaf("b");
    const Tensor y = add(a, b);
    oracle.expect("y", y);
    oracle.expect_gradients(y, {{"a", a}, {"b", b}});
  });
}

TEST_P(Oracle, MaxPool2d) {
  for_each_case("max_pool2d", [](const Case& oracle) {
    const Pool2dSpec spec{oracle.integer("window"), oracle.integer("stride"), oracle.integer("padding")};
    const Tensor x = oracle.leaf("x");
    const Tensor y = max_pool2d(x, spec);
    oracle.expect("y", y);
    oracle.expect_gradients(y, {{"x", x}});
    Tensor again = empty_like(y), index = empty(y.shape(), DType::u8, y.device());
    y.backend().run(op::MaxPool2d{x, spec, again, index});
    oracle.expect_equal<uint8_t>("index", index);
  });
}

using Pool = Tensor (*)(const Tensor&, int, int);

void expect_pool(const Case& oracle, Pool pool) {
  const auto size = oracle.attributes().at("size").get<std::array<int, 2>>();
  const Tensor x = oracle.leaf("x");
  const Tensor y = pool(x, size[0], size[1]);
  oracle.expect("y", y);
  oracle.expect_gradients(y, {{"x", x}});
}

TEST_P(Oracle, AdaptiveAvgPool2d) {
  for_each_case("adaptive_avg_pool2d", [](const Case& oracle) { expect_pool(oracle, adaptive_avg_pool2d); });
}

TEST_P(Oracle, AdaptiveMaxPool2d) {
  for_each_case("adaptive_max_pool2d", [](const Case& oracle) {
    expect_pool(oracle, adaptive_max_pool2d);
    const Tensor x = oracle.tensor("x");
    Tensor y = empty(oracle.array("y").shape(), x.dtype(), x.device()), index = empty(y.shape(), DType::i64, x.device());
    x.backend().run(op::AdaptiveMaxPool2d{x, y, index});
    oracle.expect_equal<int64_t>("index", index);
  });
}

TEST_P(Oracle, AdaptiveConcatPool2d) {
  for_each_case("adaptive_concat_pool2d", [](const Case& oracle) { expect_pool(oracle, adaptive_concat_pool2d); });
}

TEST_P(Oracle, Linear) {
  for_each_case("linear", [](const Case& oracle) {
    const Tensor x = oracle.leaf("x"), w = oracle.leaf("w"), b = oracle.leaf("b");
    const Tensor y = linear(x, w, b);
    oracle.expect("y", y);
    oracle.expect_gradients(y, {{"x", x}, {"w", w}, {"b", b}});
  });
}

TEST_P(Oracle, Flatten) {
  for_each_case("flatten", [](const Case& oracle) {
    const Tensor x = oracle.leaf("x");
    const Tensor y = flatten(x);
    oracle.expect("y", y);
    oracle.expect_gradients(y, {{"x", x}});
  });
}

TEST_P(Oracle, Softmax) {
  for_each_case("softmax", [](const Case& oracle) { oracle.expect("y", softmax(oracle.tensor("x"))); });
}

TEST_P(Oracle, CrossEntropy) {
  for_each_case("cross_entropy", [](const Case& oracle) {
    const Tensor logits = oracle.leaf("logits");
    const CrossEntropy result = cross_entropy(logits, oracle.tensor("targets"));
    oracle.expect("losses", result.losses);
    oracle.expect("loss", result.loss);
    tape::backward(result.loss, {.seed = full({}, oracle.number("dloss"), logits.dtype(), logits.device())});
    oracle.expect("dlogits", logits.grad(), 1e-2);
  });
}

TEST_P(Oracle, Reductions) {
  for_each_case("reductions", [](const Case& oracle) {
    const Tensor x = oracle.tensor("x");
    Tensor columns = empty({x.size(-1)}, x.dtype(), x.device());
    x.backend().run(op::SumRows{x, columns});
    oracle.expect("sum", sum(x));
    oracle.expect("mean", mean(x));
    oracle.expect("sum_rows", columns);
  });
}

DType dtype_named(const std::string& name) {
  for (const DType dtype : {DType::f32, DType::f64, DType::f16, DType::bf16, DType::u8, DType::i64})
    if (name_of(dtype) == name) return dtype;
  throw Error("the oracle names a dtype that does not exist: " + name);
}

void expect_same_numbers(const Tensor& got, const weights::Array& array) {
  const Tensor want = from_bytes(array.bytes(), array.shape(), array.dtype(), got.device());
  const std::vector<double> a = got.to_doubles(), b = want.to_doubles();
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i)
    ASSERT_TRUE(std::isnan(b[i]) ? std::isnan(a[i]) : a[i] == b[i] && std::signbit(a[i]) == std::signbit(b[i]))
        << "element " << i << " is " << a[i] << " and should be " << b[i];
}

// A hash of all values of a 16-bit type as f32: FNV-1a of the bytes, with every NaN as the same quiet NaN.
std::string fingerprint_of_all(DType from, Device& device) {
  std::vector<uint16_t> bits(65536);
  for (size_t i = 0; i < bits.size(); ++i) bits[i] = static_cast<uint16_t>(i);
  const Tensor wide = from_bytes(std::as_bytes(std::span(bits)), {65536}, from, device).to(DType::f32);
  uint64_t hash = 0xCBF29CE484222325;
  for (const float value : wide.to_vector<float>()) {
    const uint32_t word = std::isnan(value) ? 0x7FC00000 : std::bit_cast<uint32_t>(value);
    for (int shift = 0; shift < 32; shift += 8) hash = (hash ^ ((word >> shift) & 0xFF)) * 0x100000001B3;
  }
  return fmt::format("{:016x}", hash);
}

TEST_P(Oracle, Cast) {
  Device& device = open_device(GetParam().device);
  for_each_case("cast", [&](const Case& oracle) {
    const DType from = dtype_named(oracle.attributes().at("from")), to = dtype_named(oracle.attributes().at("to"));
    if (!takes(from) || !takes(to)) return;
    if (oracle.attributes().contains("fnv1a64")) {
      EXPECT_EQ(fingerprint_of_all(from, device), oracle.attributes().at("fnv1a64").get<std::string>());
      return;
    }
    const weights::Array& x = oracle.array("x");
    expect_same_numbers(from_bytes(x.bytes(), x.shape(), from, device).to(to), oracle.array("y"));
  });
}

TEST_P(Oracle, Adam) {
  for_each_case("adam", [](const Case& oracle) {
    Tensor p = oracle.tensor("p");
    Tensor m = zeros(p.shape(), p.dtype(), p.device()), v = zeros(p.shape(), p.dtype(), p.device());
    Tensor steps = zeros({1}, DType::i64, p.device());
    const Tensor gradients = oracle.tensor("gradients");
    const auto rates = oracle.array("learning_rates").values<double>(), momenta = oracle.array("momenta").values<double>();
    Tensor trace = empty(oracle.array("parameters").shape(), p.dtype(), p.device());
    for (int64_t step = 0; step < gradients.size(0); ++step) {
      const auto at = static_cast<size_t>(step);
      const AdamTensor tensor{p, gradients.slice(step, step + 1).view(p.shape()), m, v, rates[at], oracle.number("weight_decay"), steps};
      p.backend().run(op::Adam{std::span(&tensor, 1), {momenta[at], oracle.number("beta2"), oracle.number("eps")}, {}});
      trace.slice(step, step + 1).view(p.shape()).copy_from(p);
    }
    oracle.expect("parameters", trace);
    oracle.expect("m", m);
    oracle.expect("v", v);
  });
}

INSTANTIATE_TEST_SUITE_P(PyTorch, Oracle, ::testing::ValuesIn(ways()),
                         [](const auto& which) { return fmt::format("{}_{}", which.param.device, name_of(which.param.dtype)); });

}  // namespace
}  // namespace mirilla
