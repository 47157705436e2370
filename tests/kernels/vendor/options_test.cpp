// SPDX-License-Identifier: MIT
#include "kernels/cuda/vendor/options.h"

#include "tests/kernels/vendor/support.h"

namespace mirilla::test {
namespace {

using cuda::vendor::Options;
using cuda::vendor::options_from_environment;

TEST(VendorOptions, AreAllLibrariesAndAGibibyteWhereNothingIsSaid) {
  const Environment vendor("MIRILLA_VENDOR", ""), workspace("MIRILLA_WORKSPACE", ""), deterministic("MIRILLA_DETERMINISTIC", "");
  EXPECT_EQ(options_from_environment(), (Options{true, true, size_t{1} << 30, false}));
}

TEST(VendorOptions, AreWhatTheEnvironmentSays) {
  const std::pair<const char*, Options> said[] = {
      {"on", {true, true}}, {"off", {false, false}}, {"cudnn", {true, false}}, {"cublaslt", {false, true}}};
  for (const auto& [value, want] : said) {
    const Environment vendor("MIRILLA_VENDOR", value);
    EXPECT_EQ(options_from_environment(), want) << value;
  }
  const std::pair<const char*, size_t> sizes[] = {
      {"0", 0}, {"4096", 4096}, {"64K", 65536}, {"512M", size_t{512} << 20}, {"2G", size_t{2} << 30}};
  for (const auto& [value, want] : sizes) {
    const Environment workspace("MIRILLA_WORKSPACE", value);
    EXPECT_EQ(options_from_environment().workspace_bytes, want) << value;
  }
  const Environment deterministic("MIRILLA_DETERMINISTIC", "1");
  EXPECT_TRUE(options_from_environment().deterministic);
  EXPECT_FALSE(options_from_environment().tf32);
  const Environment tf32("MIRILLA_TF32", "1");
  EXPECT_TRUE(options_from_environment().tf32);
}

TEST(VendorOptions, NameTheVariableThatMakesNoSense) {
  const std::pair<const char*, const char*> wrong[] = {{"MIRILLA_VENDOR", "cudn"},
                                                       {"MIRILLA_WORKSPACE", "much"},
                                                       {"MIRILLA_WORKSPACE", "1T"},
                                                       {"MIRILLA_WORKSPACE", "-1"},
                                                       {"MIRILLA_WORKSPACE", "1GB"},
                                                       {"MIRILLA_WORKSPACE", "17179869184G"},
                                                       {"MIRILLA_WORKSPACE", "99999999999999999999"},
                                                       {"MIRILLA_DETERMINISTIC", "yes"},
                                                       {"MIRILLA_TF32", "fast"}};
  for (const auto& [name, value] : wrong) {
    const Environment set(name, value);
    const std::string text = thrown<UsageError>(options_from_environment).message();
    EXPECT_NE(text.find(name), std::string::npos) << text;
    EXPECT_NE(text.find(value), std::string::npos) << text;
  }
}

}  // namespace
}  // namespace mirilla::test
