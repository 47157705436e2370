// SPDX-License-Identifier: MIT
#include "kernels/cuda/vendor/cublaslt.h"

#include "kernels/cuda/vendor/versions.h"
#include "tests/kernels/vendor/support.h"

namespace mirilla::test {
namespace {

// The real library, which opens without a GPU: where it is installed, it has every function that we look up.
TEST(CublasLtLibrary, HasEveryFunctionThatIsUsed) {
  try {
    cuda::vendor::cublaslt_library();
  } catch (const DeviceError& error) {
    GTEST_SKIP() << error.what();
  }
  EXPECT_NE(cuda::vendor::cublaslt().matmul, nullptr);
  EXPECT_EQ(cuda::vendor::cublaslt_version_text().find("cuBLASLt "), 0u);
  EXPECT_THROW(cuda::vendor::cublaslt().check(CUBLAS_STATUS_INVALID_VALUE, "a call", "be tested"), DeviceError);
}

}  // namespace
}  // namespace mirilla::test
