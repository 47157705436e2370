// SPDX-License-Identifier: MIT
#include "data/augment.h"

#include <algorithm>
#include <cmath>

#include "kernels/devices.h"
#include "nn/run/evaluate.h"
#include "tests/data/oracle_draw.h"
#include "tests/parity/row.h"

// The network's input, number for number: fastai's batch transforms with given draws. make_augment.py makes the cases.
namespace mirilla::parity {
namespace {

using test::AugmentCase;

constexpr double kTolerance = 1e-5;

struct Where {
  std::string device;
  DType dtype;
};

std::vector<Where> places() {
  std::vector<Where> all{{"cpu", DType::f32}, {"simt", DType::f32}, {"reference", DType::f32}, {"reference", DType::f64}};
  if (std::ranges::count(device_names(), "cuda") > 0) all.push_back({"cuda", DType::f32});
  return all;
}

/// The largest difference from fastai's numbers on any device.
double distance_of(const AugmentCase& c) {
  const std::vector<float> rows =
      c.validation ? data::validation_parameters(static_cast<int>(c.n), static_cast<int>(c.height), static_cast<int>(c.width))
                   : data::test::composed_rows(c);
  const nn::ModelInfo info{.vocabulary = {}, .size = static_cast<int>(c.out_height)};
  double most = 0;
  for (const Where& where : places()) {
    const nn::Placement placement{.device = open_device(where.device), .dtype = where.dtype};
    const std::vector<double> y =
        nn::to_input(c.pictures, c.n, static_cast<int>(c.height), static_cast<int>(c.width), rows, !c.validation, info, placement)
            .to_doubles();
    EXPECT_EQ(y.size(), c.expected.size());
    for (size_t i = 0; i < y.size(); ++i) {
      const double d = std::abs(y[i] - static_cast<double>(c.expected[i]));
      most = std::max(most, std::isfinite(d) ? d : std::numeric_limits<double>::infinity());
    }
  }
  return most;
}

struct Promise {
  const char* id;
  const char* what;
  std::vector<std::string> cases;
};

class AugmentParity : public testing::TestWithParam<Promise> {};

TEST_P(AugmentParity, InputIsFastais) {
  const Promise& promise = GetParam();
  double most = 0, fastai_f32 = 0;
  bool f64 = false;
  std::string made_with;
  size_t found = 0;
  for (const AugmentCase& c : test::augment_cases()) {
    if (std::ranges::count(promise.cases, c.name) == 0) continue;
    most = std::max(most, distance_of(c));
    fastai_f32 = std::max(fastai_f32, c.f32_error);
    f64 = f64 || c.expected_is_f64;
    made_with = c.made_with;
    ++found;
  }
  EXPECT_EQ(found, promise.cases.size());
  report(
      {.id = promise.id,
       .what = std::string(promise.what) + "; on the CPU, the executor of the CUDA kernels and the reference in f32 and f64",
       .against = made_with + (f64 ? " run in f64" : ""),
       .measured = most,
       .tolerance = kTolerance,
       .unit = "in the network's input, which spans -2.1 to 2.6",
       .tolerance_because =
           f64 ? fmt::format("f32's roundings; fastai's own f32 is {:.1g} from its f64 here, since it computes places in f32", fastai_f32)
               : fmt::format("f32's roundings on both sides; fastai's own f32 is {:.1g} from its f64", fastai_f32)});
}

INSTANTIATE_TEST_SUITE_P(
    Each, AugmentParity,
    testing::Values(
        Promise{"augment.flip", "flip alone", {"flip"}}, Promise{"augment.rotate", "rotation alone, 10, -10 and 4 degrees", {"rotate"}},
        Promise{"augment.zoom", "zoom alone, at three places", {"zoom"}},
        Promise{"augment.warp", "warp alone, in x, in y and in both", {"warp"}},
        Promise{"augment.brightness", "brightness alone, at both ends and unchanged", {"brightness"}},
        Promise{"augment.contrast", "contrast alone, at both ends and unchanged", {"contrast"}},
        Promise{"augment.crop", "the batch's crop alone", {"crop"}},
        Promise{"augment.composed",
                "all of them at once: square, wide, enlarged, and averaged first where the crop is more than twice the output",
                {"everything", "everything on a wide picture", "everything averaged first", "everything, enlarged"}},
        Promise{"augment.extremes",
                "all at once far beyond the course's ranges, reflected many times, and on noise of 0 beside 255",
                {"reflected many times", "everything on noise", "everything averaged first, on noise", "reflected many times, on noise"}},
        Promise{"augment.validation",
                "the validation path: square, wide, an odd side, averaged first",
                {"validation", "validation of one pixel more than twice", "validation of a wide picture", "validation averaged first"}}),
    [](const auto& instance) {
      std::string name = std::string(instance.param.id).substr(8);
      return name;
    });

}  // namespace
}  // namespace mirilla::parity
