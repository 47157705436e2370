// SPDX-License-Identifier: MIT
// Every operation of the table, on every device and with every instruction set of this machine, given a NaN, an infinity, a -0, a subnormal
// or the largest number in each of its inputs in turn: compared with the reference device, element by element, and the reference with the
// results of PyTorch (tests/oracle/make_special.py). backend.h has the rules.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "kernels/core/half.h"
#include "kernels/core/philox.h"
#include "kernels/cpu/isa.h"
#include "kernels/devices.h"
#include "tests/kernels/special/call.h"

namespace mirilla::test {
namespace {

std::string text_of(const std::string& path) {
  std::ifstream file(MIRILLA_SOURCE_DIR "/" + path);
  std::ostringstream text;
  text << file.rdbuf();
  EXPECT_FALSE(text.str().empty()) << path;
  return text.str();
}

const nlohmann::json& oracle() {
  static const nlohmann::json file = nlohmann::json::parse(text_of("tests/oracle/special/special.json"));
  return file;
}

/// units() of oracle_file.py.
std::vector<double> units(std::string_view name, int64_t n) {
  uint64_t seed = 0xCBF29CE484222325u;
  for (const char c : name) seed = (seed ^ static_cast<uint8_t>(c)) * 0x100000001B3u;
  const RandomKey key{.seed = seed, .purpose = Purpose::kTest};
  std::vector<double> values;
  for (int64_t i = 0; i < n; ++i) values.push_back(to_unit(key.bits(static_cast<uint32_t>(i))));
  return values;
}

double rounded(double x, DType type) {
  switch (type) {
    case DType::f32: return static_cast<float>(x);
    case DType::f16: return static_cast<float>(Half(static_cast<float>(x)));
    case DType::bf16: return static_cast<float>(BFloat16(static_cast<float>(x)));
    default: return x;
  }
}

DType type_of(const std::string& kind, DType float_type) {
  if (kind == "t") return float_type;
  if (kind == "f32") return DType::f32;
  if (kind == "f16") return DType::f16;
  if (kind == "bf16") return DType::bf16;
  return kind == "u8" ? DType::u8 : DType::i64;
}

Operand operand_of(const std::string& op, const nlohmann::json& spec) {
  Operand operand{spec[0], spec[2], spec[3], {Shape(spec[1].get<std::vector<int64_t>>()), {}, DType::f64}};
  if (operand.kind != "t") operand.healthy.kind = type_of(operand.kind, DType::f64);
  if (!operand.is_read()) return operand;
  if (spec[4].is_array()) {
    operand.healthy.values = spec[4].get<std::vector<double>>();
    return operand;
  }
  const double low = spec[4], high = spec[5];
  for (const double unit : units(op + "." + operand.name, operand.healthy.shape.numel())) {
    const double value = static_cast<float>(low + (high - low) * unit);
    operand.healthy.values.push_back(operand.is_float() ? value : std::floor(value));
  }
  return operand;
}

/// One run of a case: a special value in one of its tensors.
struct Trial {
  const nlohmann::json& attributes;
  std::string op, special;
  std::vector<Operand> operands;
  int into;  // -1: into no tensor, it is an attribute
  std::vector<size_t> at;
  DType type;
  bool exact;

  Values values(size_t number) const {
    const Operand& operand = operands[number];
    Values values = operand.healthy;
    const DType held = type_of(operand.kind, type);
    if (static_cast<int>(number) == into) {
      const double value = special_value(special, held);
      if (special == "least" || special == "subnormal") std::ranges::fill(values.values, 0);
      if (special == "overflow") std::ranges::fill(values.values, value);
      for (const size_t i : at) values.values[i] = value;
    }
    for (double& x : values.values) x = rounded(x, held);
    return values;
  }
  std::vector<std::vector<double>> on(Device& device, DType computed) const {
    OperationCall call(device, attributes, computed);
    for (size_t i = 0; i < operands.size(); ++i) {
      Values given = values(i);
      if (operands[i].kind == "f16" || operands[i].kind == "bf16") given.kind = type_of(operands[i].kind, type);
      call.add(operands[i].name, given);
    }
    rows().find(op)->second(call);
    std::vector<std::vector<double>> outputs;
    for (const Operand& operand : operands)
      if (operand.is_written()) outputs.push_back(call.read(operand.name));
    return outputs;
  }
  std::vector<const Operand*> written() const {
    std::vector<const Operand*> all;
    for (const Operand& operand : operands)
      if (operand.is_written()) all.push_back(&operand);
    return all;
  }
  std::string describe() const {
    return fmt::format("{} {} with {} in {}", op, name_of(type), special,
                       into < 0 ? "an attribute" : operands[static_cast<size_t>(into)].name);
  }
};

/// The reference's results: computed in f32 or, for integers, exactly, and rounded once.
std::vector<std::vector<double>> wanted(const Trial& run) {
  std::vector<std::vector<double>> all = run.on(open_device("reference"), DType::f32);
  const std::vector<const Operand*> written = run.written();
  for (size_t o = 0; o < all.size(); ++o)
    for (double& x : all[o]) x = rounded(x, type_of(written[o]->kind, run.type));
  return all;
}

char class_of(double x, bool exact) {
  if (std::isnan(x)) return 'n';
  if (std::isinf(x)) return x > 0 ? '+' : '-';
  if (!exact || x != 0) return 'f';
  return std::signbit(x) ? 'Z' : 'z';
}

/// PyTorch's classes of one output, one per element: several where its kernels differ.
std::vector<std::string> classes_of(const std::string& text) {
  std::vector<std::string> all;
  size_t at = 0;
  while (at < text.size()) {
    size_t count = 0;
    for (; std::isdigit(static_cast<unsigned char>(text[at])); ++at) count = count * 10 + static_cast<size_t>(text[at] - '0');
    const size_t end = text[at] == '[' ? text.find(']', at) : at;
    const std::string each = text[at] == '[' ? text.substr(at + 1, end - at - 1) : text.substr(at, 1);
    all.insert(all.end(), std::max<size_t>(count, 1), each);
    at = end + 1;
  }
  return all;
}

/// Calls f(run, PyTorch's strings or none) for all runs of one operation.
template <class F>
void for_each_run(const std::string& op, const std::vector<DType>& types, F&& f) {
  constexpr std::array kTypes{DType::f32, DType::f16, DType::bf16};
  for (const nlohmann::json& entry : oracle().at("cases")) {
    if (entry.at("op") != op) continue;
    std::vector<Operand> operands;
    for (const nlohmann::json& spec : entry.at("tensors")) operands.push_back(operand_of(op, spec));
    for (const nlohmann::json& run : entry.at("runs"))
      for (size_t s = 0; s < entry.at("specials").size(); ++s)
        for (size_t t = 0; t < kTypes.size(); ++t) {
          if (std::ranges::find(types, kTypes[t]) == types.end()) continue;
          const nlohmann::json& by_type = run[2][s];
          f(Trial{entry, op, entry.at("specials")[s], operands, run[0].is_null() ? -1 : run[0].get<int>(), run[1], kTypes[t],
                  entry.at("exact")},
            by_type.empty() ? nlohmann::json() : by_type[by_type.size() == 1 ? 0 : t]);
          if (testing::Test::HasFatalFailure()) return;
        }
  }
}

/// Whether the special value is multiplied by the 0 of the padding.
bool meets_padding(const Trial& run) {
  if (!run.op.starts_with("conv2d") || run.attributes.at("padding") == 0 || std::isfinite(special_value(run.special, DType::f32)))
    return false;
  return run.operands[static_cast<size_t>(run.into)].name == (run.op == "conv2d_backward_weight" ? "dy" : "w");
}

/// Decides whether an element is correct, given the reference's, by the rules of backend.h.
class Rules {
 public:
  Rules(const Trial& run, const std::vector<double>& want, DType type)
      : exact_(run.exact),
        far_(!run.exact && (run.special == "overflow" || run.special == "largest")),
        padded_(meets_padding(run)),
        stopped_(run.special == "overflow" && run.attributes.value("relu", false)) {
    for (const double x : want)
      if (std::isfinite(x) && std::fabs(x) < 1e4) scale_ = std::max(scale_, std::fabs(x));
    unit_ = type == DType::f16 ? 0x1p-10 : type == DType::bf16 ? 0x1p-7 : 0x1p-23;  // both were rounded: one unit of the type apart
    least_ = 8 * special_value("least", type);
  }

  bool right(double got, double want) const {
    if (far_ && !std::isfinite(got)) return true;  // the sum left the range of f32 on the way
    if (stopped_ && got == 0) return true;         // it did so to -infinity, and the ReLU made it 0
    if (padded_ && std::isnan(got)) return true;   // 0 times what is not finite
    if (std::isnan(want)) return std::isnan(got);
    if (!std::isfinite(want) || !std::isfinite(got)) return got == want;
    if (exact_) return got == want && std::signbit(got) == std::signbit(want);
    const double sums = far_ ? 1e-4 : 2e-5;
    return std::fabs(got - want) <= unit_ * std::fabs(want) + sums * (std::fabs(want) < 1e4 ? scale_ : std::fabs(want)) + least_;
  }

 private:
  bool exact_, far_, padded_, stopped_;
  double scale_ = 0, unit_, least_;
};

void compare(const Trial& run, Device& device) {
  SCOPED_TRACE(run.describe() + " " + run.attributes.dump().substr(0, 300));
  const std::vector<std::vector<double>> want = wanted(run), got = run.on(device, run.type);
  const std::vector<const Operand*> written = run.written();
  for (size_t o = 0; o < want.size(); ++o) {
    const Rules rules(run, want[o], type_of(written[o]->kind, run.type));
    int wrong = 0;
    for (size_t i = 0; i < want[o].size(); ++i)
      if (!rules.right(got[o][i], want[o][i]) && ++wrong <= 3)
        ADD_FAILURE() << written[o]->name << "[" << i << "] of " << want[o].size() << " is " << got[o][i] << " and should be "
                      << want[o][i];
  }
}

void compare_with_torch(const Trial& run, const nlohmann::json& strings) {
  if (strings.is_null()) return;
  SCOPED_TRACE(run.describe() + " " + run.attributes.dump().substr(0, 300));
  const std::vector<std::vector<double>> got = wanted(run);
  const std::vector<const Operand*> written = run.written();
  const bool far = !run.exact && run.special == "largest";
  const bool padded = meets_padding(run);
  for (size_t o = 0; o < got.size(); ++o) {
    const nlohmann::json& text = oracle().at("strings")[strings[o].get<size_t>()];
    if (text.is_array()) {
      EXPECT_EQ(got[o], text.get<std::vector<double>>()) << written[o]->name;
      continue;
    }
    const std::vector<std::string> classes = classes_of(text);
    ASSERT_EQ(classes.size(), got[o].size());
    int wrong = 0;
    for (size_t i = 0; i < got[o].size(); ++i) {
      const char own = class_of(got[o][i], run.exact);
      // The reference adds in f64, and leaves out the terms of the padding. backend.h promises neither.
      if (far && (own != 'f' || classes[i] != "f")) continue;
      if (padded && classes[i] == "n") continue;
      if (classes[i].find(own) == std::string::npos && ++wrong <= 3)
        ADD_FAILURE() << written[o]->name << "[" << i << "] of " << got[o].size() << " is " << got[o][i] << " and PyTorch has '"
                      << classes[i] << "'";
    }
  }
}

// --- The tests ---------------------------------------------------------------------------------------------------------------------------

struct Way {
  std::string device, loops;  // empty loops: the best
  std::vector<DType> types;
};

std::vector<Way> ways() {
  std::vector<Way> all;
  for (const std::string& name : device_names())
    if (name != "reference") all.push_back({name, "", {DType::f32, DType::f16, DType::bf16}});
  for (const std::string_view loops : cpu::loop_names())
    if (loops != cpu::best_loops().name) all.push_back({"cpu", std::string(loops), {DType::f32}});
  return all;
}

std::vector<std::string> operations() {
  std::vector<std::string> all;
  for (const auto& [name, row] : rows()) all.push_back(name);
  return all;
}

void PrintTo(const Way& way, std::ostream* out) { *out << way.device << " " << way.loops; }

class SpecialValues : public testing::TestWithParam<std::tuple<Way, std::string>> {
 protected:
  void TearDown() override { cpu::use_loops(cpu::best_loops().name); }
};

TEST_P(SpecialValues, PassAsOnTheReference) {
  const auto& [way, op] = GetParam();
  if (!way.loops.empty()) cpu::use_loops(way.loops);
  Device& device = open_device(way.device);
  for_each_run(op, way.types, [&](const Trial& run, const nlohmann::json&) { compare(run, device); });
}

std::string name_of_case(const testing::TestParamInfo<std::tuple<Way, std::string>>& which) {
  const Way& way = std::get<0>(which.param);
  return way.device + (way.loops.empty() ? "" : "_" + way.loops) + "_" + std::get<1>(which.param);
}

INSTANTIATE_TEST_SUITE_P(, SpecialValues, testing::Combine(testing::ValuesIn(ways()), testing::ValuesIn(operations())), name_of_case);

class SpecialValuesOfTorch : public testing::TestWithParam<std::string> {};

TEST_P(SpecialValuesOfTorch, AreThoseOfTheReference) {
  for_each_run(GetParam(), {DType::f32, DType::f16, DType::bf16}, compare_with_torch);
}

INSTANTIATE_TEST_SUITE_P(, SpecialValuesOfTorch, testing::ValuesIn(operations()), [](const auto& which) { return which.param; });

/// A convolution that is too large for the sweep: oneDNN has other kernels for these, and on some machines other layouts.
nlohmann::json large_convolution(int64_t n, int64_t side, int64_t in, int64_t out, int64_t kernel, int64_t stride) {
  const int64_t padding = kernel / 2, side_out = (side + 2 * padding - kernel) / stride + 1;
  const auto input = [](const char* name, const std::vector<int64_t>& shape) {
    return nlohmann::json{name, shape, "f32", "in", -2.0, 2.0};
  };
  const std::vector<int64_t> y{n, side_out, side_out, out};
  return {{"stride", stride},
          {"padding", padding},
          {"relu", true},
          {"tensors",
           {input("x", {n, side, side, in}), input("w", {out, kernel, kernel, in}), input("bias", {out}), input("residual", y),
            nlohmann::json{"y", y, "f32", "out", 0.0, 0.0}}}};
}

TEST(SpecialValuesOfTheCpu, PassTheKernelsForLargeConvolutions) {
  const std::string op = "conv2d_bias_add_relu";
  for (const nlohmann::json& entry : {large_convolution(8, 2, 256, 256, 3, 1), large_convolution(1, 8, 64, 64, 3, 1),
                                      large_convolution(1, 9, 64, 64, 3, 2), large_convolution(2, 20, 3, 64, 7, 2)}) {
    std::vector<Operand> operands;
    for (const nlohmann::json& spec : entry.at("tensors")) operands.push_back(operand_of(op, spec));
    for (const int into : {0, 1, 3})
      for (const char* special : {"nan", "inf"}) {
        const size_t at = operands[static_cast<size_t>(into)].healthy.values.size() / 2;
        compare({entry, op, special, operands, into, {at}, DType::f32, false}, open_device("cpu"));
      }
  }
}

template <class... T>
std::set<std::string> names(Operations<T...>) {
  return {std::string(T::kName)...};
}

/// An operation added with a test file of its own tries special values there (docs/add-an-operator.md).
bool has_own_test(std::string name) {
  if (name.ends_with("_backward")) name.resize(name.size() - std::string_view("_backward").size());
  const std::filesystem::path file = std::filesystem::path(MIRILLA_SOURCE_DIR) / "tests/engine" / (name + "_test.cpp");
  return std::filesystem::exists(file) && text_of("tests/engine/" + name + "_test.cpp").find("SpecialValues") != std::string::npos;
}

TEST(SpecialValuesTable, HasEveryOperationOfTheBackend) {
  std::set<std::string> table = names(CoreOperations()), tried;
  table.merge(names(OptionalOperations()));
  // BatchNorm has the bits of its two operations (tests/kernels/cuda/batch_norm_test.cpp), PaddedPictures does the same arithmetic on the
  // same values (tests/kernels/cuda). The others are tried, with their masks, parts and places, by the rows of batch_norm_apply,
  // batch_norm_backward and batch_norm_relu_max_pool2d.
  const auto erase = [&]<class... Form>(Operations<Form...>) { return (table.erase(std::string(Form::kName)) + ...); };
  EXPECT_EQ(erase(Operations<op::BatchNorm, op::BatchNormAddRelu, op::ReluMask, op::BatchNormGradientSum, op::PaddedPictures,
                             op::PooledGradient>()),
            6u);
  EXPECT_GT(table.size(), 35u);
  for (const nlohmann::json& entry : oracle().at("cases")) tried.insert(entry.at("op").get<std::string>());
  for (const std::string& name : table) {
    if (has_own_test(name)) continue;
    EXPECT_TRUE(rows().contains(name)) << name << " has no row in tests/kernels/special/rows.cpp";
    EXPECT_TRUE(tried.contains(name)) << name << " has no case in tests/oracle/make_special.py";
  }
}

}  // namespace
}  // namespace mirilla::test
