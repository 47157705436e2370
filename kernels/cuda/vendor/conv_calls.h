// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/cuda/platform/platform.h"
#include "kernels/cuda/vendor/conv_problem.h"

/// What conv_calls.cpp needs from a library: on a GPU cuDNN (conv.cpp), on the executor the ledger, which only counts
/// (kernels/cuda/ledger/libraries.cpp).
namespace mirilla::MIRILLA_PLATFORM::vendor {

using cuda::vendor::backward_data_call;
using cuda::vendor::backward_weight_call;
using cuda::vendor::ConvCall;
using cuda::vendor::ConvProblem;
using cuda::vendor::elements_written;
using cuda::vendor::forward_call;
using cuda::vendor::kFirstLayer;
using cuda::vendor::may_be_rounded;

/// Whether a library is to be asked at all.
bool asks_cudnn(const Stream& stream);
/// False where the library was asked for this problem before, and had no plan for it that our own kernel does not beat.
bool may_run(Stream& stream, const ConvProblem& problem);
/// Whether its plan converts between halves and f32: see vendor.h.
bool rounds(Stream& stream, const ConvProblem& problem);
/// Starts the call and returns true, or starts nothing and returns false.
bool run(Stream& stream, const ConvCall& call);

}  // namespace mirilla::MIRILLA_PLATFORM::vendor
