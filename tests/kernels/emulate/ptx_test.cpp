// SPDX-License-Identifier: MIT
// The program's PTX: which of it ran, and running it edited.
#include "kernels/emulate/coverage.h"
#include "kernels/emulate/ptx_folder.h"
#include "tests/kernels/emulate/support.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

namespace mirilla::emulate {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

std::string content(const fs::path& file) {
  std::stringstream text;
  text << std::ifstream(file).rdbuf();
  return text.str();
}

class EmulatedPtx : public Emulated {
 protected:
  EmulatedPtx() { fs::create_directories(folder_); }
  ~EmulatedPtx() override {
    start({});
    fs::remove_all(folder_);
  }

  const fs::path folder_ = fs::path(testing::TempDir()) / fmt::format("emulated_ptx_{}", getpid());
};

// The guarded store runs in no lane of a launch with n = 0.
std::string guarded(std::string_view name) {
  return ptx::header() + fmt::format(R"(
.visible .entry {}(.param .u64 x, .param .u32 n)
{{
.reg .pred %p<2>;
.reg .b32 %r<4>;
.reg .b64 %rd<2>;
.loc 1 3 0
ld.param.u64 %rd0, [x];
ld.param.u32 %r0, [n];
setp.ne.u32 %p0, %r0, 0;
.loc 1 7 0
@%p0 st.global.u32 [%rd0], %r0;
@%p0 bra $END;
$END:
ret;
}}
.file 1 "/tree/kernels/cuda/guarded.cu"
)",
                                     name);
}

TEST_F(EmulatedPtx, IsListedWithWhatNeverRan) {
  Registered module({{90, guarded("never_launched")}}), other({{90, guarded("launched")}});
  module.kernel("never_launched");
  const void* const kernel = other.kernel("launched");
  const std::string file = folder_ / "coverage.tsv";
  Settings settings;
  settings.coverage = file;
  start(settings);
  unsigned* const x = device_words();
  const auto covered = [&] {
    EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
    write_coverage(*runtime().devices[0], file);
    return content(file);
  };
  ASSERT_EQ(launch(kernel, x, 0), cudaSuccess);
  EXPECT_THAT(covered(), HasSubstr("kernel\tnever_launched\t/tree/kernels/cuda/guarded.cu\t6\t0\n"));
  EXPECT_THAT(covered(), HasSubstr("kernel\tlaunched\t/tree/kernels/cuda/guarded.cu\t6\t5\n"
                                   "never\t3\t15\t/tree/kernels/cuda/guarded.cu:7\t@%p0 st.global.u32 [%rd0], %r0;\n"));
  ASSERT_EQ(launch(kernel, x, 1), cudaSuccess);
  EXPECT_THAT(covered(), HasSubstr("kernel\tlaunched\t/tree/kernels/cuda/guarded.cu\t6\t6\n"));
}

TEST_F(EmulatedPtx, IsTakenFromAFolderWhereItMayBeEdited) {
  Registered module({{90, guarded("k")}});
  const void* const kernel = module.kernel("k");
  Settings settings;
  settings.ptx_folder = folder_ / "new";
  prepare_ptx_folder(settings);
  fs::path file;
  for (const auto& entry : fs::directory_iterator(settings.ptx_folder)) {
    if (entry.path().filename().string().starts_with("guarded-")) file = entry.path();
  }
  ASSERT_EQ(content(file), guarded("k"));
  std::string text = guarded("k");
  text.replace(text.find("], %r0"), 6, "], 77");
  std::ofstream(file) << text;
  prepare_ptx_folder(settings);
  start(settings);
  unsigned* const x = device_words();
  ASSERT_EQ(launch(kernel, x, 5), cudaSuccess);
  EXPECT_EQ(word_on(nullptr, x), 77u);
  fs::remove(file);
  start(settings);
  unsigned* const y = device_words();
  ASSERT_EQ(launch(kernel, y, 5), cudaSuccess);
  EXPECT_EQ(word_on(nullptr, y), 5u);
}

TEST_F(EmulatedPtx, OfAnotherBuildIsRefused) {
  Registered module({{90, guarded("k")}});
  Settings settings;
  settings.ptx_folder = folder_;
  std::ofstream(folder_ / "guarded-00000000.ptx") << "text";
  EXPECT_THROW(
      {
        try {
          prepare_ptx_folder(settings);
        } catch (const Error& error) {
          EXPECT_THAT(error.what(), HasSubstr("guarded-00000000.ptx is not of this program"));
          throw;
        }
      },
      DeviceError);
}

}  // namespace
}  // namespace mirilla::emulate
