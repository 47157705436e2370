// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/core/ops/adam.h"
#include "kernels/core/ops/adaptive_pool2d.h"
#include "kernels/core/ops/add.h"
#include "kernels/core/ops/augment.h"
#include "kernels/core/ops/batch_norm.h"
#include "kernels/core/ops/cast.h"
#include "kernels/core/ops/concat.h"
#include "kernels/core/ops/conv2d.h"
#include "kernels/core/ops/cross_entropy.h"
#include "kernels/core/ops/dropout.h"
#include "kernels/core/ops/grad_cam.h"
#include "kernels/core/ops/linear.h"
#include "kernels/core/ops/max_pool2d.h"
#include "kernels/core/ops/reductions.h"
#include "kernels/core/ops/relu.h"
#include "kernels/core/ops/transpose.h"

namespace mirilla {

/// The one list of operations. Every device has these.
using CoreOperations =
    Operations<op::Fill, op::Cast, op::Add, op::Multiply, op::Scale,                                                        //
               op::Relu, op::ReluBackward,                                                                                  //
               op::Dropout,                                                                                                 //
               op::Sum, op::SumRows, op::Argmax,                                                                            //
               op::Matmul, op::AddBias,                                                                                     //
               op::Conv2d, op::Conv2dBackwardData, op::Conv2dBackwardWeight,                                                //
               op::BatchNormStatistics, op::BatchNormApply, op::BatchNormBackward,                                          //
               op::MaxPool2d, op::MaxPool2dBackward,                                                                        //
               op::AdaptiveAvgPool2d, op::AdaptiveAvgPool2dBackward, op::AdaptiveMaxPool2d, op::AdaptiveMaxPool2dBackward,  //
               op::Concat, op::Split, op::Transpose,                                                                        //
               op::Softmax, op::CrossEntropy,                                                                               //
               op::CheckFinite, op::Adam, op::UpdateScale,                                                                  //
               op::Augment, op::GradCam>;

/// What a device may compute in one pass. Where it lacks one, the engine composes it from core operations; a test checks that both agree.
using OptionalOperations = Operations<op::BatchNormAddRelu, op::ReluMask, op::BatchNormGradientSum, op::PaddedPictures,
                                      op::PooledGradient,  // forms of a core operation
                                      op::BatchNorm, op::BatchNormReluMaxPool2d, op::Conv2dBiasAddRelu, op::FoldBatchNorm,
                                      op::AdaptiveConcatPool2d, op::AdaptiveConcatPool2dBackward>;

}  // namespace mirilla
