// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "kernels/cuda/vendor/cublaslt.h"

namespace mirilla::test {

/// cuBLASLt on the host, one instance at a time: it records its calls, fails the test for an invalid request, and computes the
/// product as cuBLAS defines it, column by column, in f32.
struct FakeCublasLt {
  struct Guess {
    uint64_t id = 0;
    size_t workspace = 0;
    cublasStatus_t matmul_status = CUBLAS_STATUS_SUCCESS;
  };
  struct Preference {
    std::map<int, uint64_t> attributes;
  };

  FakeCublasLt();
  ~FakeCublasLt();
  FakeCublasLt(const FakeCublasLt&) = delete;
  FakeCublasLt& operator=(const FakeCublasLt&) = delete;

  cuda::vendor::CublasLt table() const;

  // Its answers.
  std::vector<Guess> guesses{{.id = 1}};
  cublasStatus_t heuristic_status = CUBLAS_STATUS_SUCCESS;
  cublasStatus_t check_status = CUBLAS_STATUS_SUCCESS;
  int makes = 1000;  // so many objects; for more it has no memory

  // The recorded calls.
  int heuristics = 0, checks = 0;
  std::vector<uint64_t> ran;  // the algorithms, in order
  Preference last_preference;
  cublasComputeType_t last_compute{};
  cudaDataType_t last_scale{};
  cudaStream_t last_stream = nullptr;
  int alive = 0;  // objects that were created and not destroyed
};

}  // namespace mirilla::test
