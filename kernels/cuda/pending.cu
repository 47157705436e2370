// SPDX-License-Identifier: MIT
// Operations that are not written yet; each line goes when its file comes.
#include "kernels/cuda/common.h"

namespace mirilla::MIRILLA_PLATFORM {

void CudaBackend::matmul(ConstView, ConstView, const MatmulSpec&, View) { missing("matmul"); }
void CudaBackend::conv2d(ConstView, ConstView, ConstView, const Conv2dSpec&, View) { missing("conv2d"); }
void CudaBackend::conv2d_backward_data(ConstView, ConstView, const Conv2dSpec&, View) { missing("conv2d_backward_data"); }
void CudaBackend::conv2d_backward_weight(ConstView, ConstView, const Conv2dSpec&, View) { missing("conv2d_backward_weight"); }
void CudaBackend::max_pool2d(ConstView, const Pool2dSpec&, View, View) { missing("max_pool2d"); }
void CudaBackend::max_pool2d_backward(ConstView, ConstView, const Pool2dSpec&, View) { missing("max_pool2d_backward"); }
void CudaBackend::adaptive_avg_pool2d(ConstView, View) { missing("adaptive_avg_pool2d"); }
void CudaBackend::adaptive_avg_pool2d_backward(ConstView, View) { missing("adaptive_avg_pool2d_backward"); }
void CudaBackend::adaptive_max_pool2d(ConstView, View, View) { missing("adaptive_max_pool2d"); }
void CudaBackend::adaptive_max_pool2d_backward(ConstView, ConstView, View) { missing("adaptive_max_pool2d_backward"); }
void CudaBackend::concat(ConstView, ConstView, View) { missing("concat"); }
void CudaBackend::split(ConstView, View, View) { missing("split"); }
void CudaBackend::check_finite(std::span<const ConstView>, View) { missing("check_finite"); }
void CudaBackend::adam(std::span<const AdamTensor>, const AdamSpec&, ConstView) { missing("adam"); }
void CudaBackend::update_scale(View, const ScalerSpec&) { missing("update_scale"); }
void CudaBackend::augment(const Augment&) { missing("augment"); }
void CudaBackend::grad_cam(ConstView, ConstView, View, View) { missing("grad_cam"); }
void CudaBackend::adaptive_concat_pool2d(ConstView, View, View) { missing("adaptive_concat_pool2d"); }
void CudaBackend::adaptive_concat_pool2d_backward(ConstView, ConstView, View) { missing("adaptive_concat_pool2d_backward"); }
void CudaBackend::conv2d_bias_add_relu(const Conv2dBiasAddRelu&) { missing("conv2d_bias_add_relu"); }

}  // namespace mirilla::MIRILLA_PLATFORM
