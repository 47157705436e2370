// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/core/half.h"
#include "kernels/emulate/library/loops.h"
#include "tests/kernels/emulate/support.h"

#include <cudnn.h>

#include <cstring>
#include <optional>

namespace mirilla::emulate {

using Descriptor = cudnnBackendDescriptor_t;
using Name = cudnnBackendAttributeName_t;

inline Descriptor make(cudnnBackendDescriptorType_t type) {
  Descriptor made = nullptr;
  EXPECT_EQ(cudnnBackendCreateDescriptor(type, &made), CUDNN_STATUS_SUCCESS);
  return made;
}

inline cudnnBackendAttributeType_t type_of(int64_t) { return CUDNN_TYPE_INT64; }
inline cudnnBackendAttributeType_t type_of(float) { return CUDNN_TYPE_FLOAT; }
inline cudnnBackendAttributeType_t type_of(double) { return CUDNN_TYPE_DOUBLE; }
inline cudnnBackendAttributeType_t type_of(bool) { return CUDNN_TYPE_BOOLEAN; }
inline cudnnBackendAttributeType_t type_of(Descriptor) { return CUDNN_TYPE_BACKEND_DESCRIPTOR; }
inline cudnnBackendAttributeType_t type_of(cudnnHandle_t) { return CUDNN_TYPE_HANDLE; }
inline cudnnBackendAttributeType_t type_of(cudnnDataType_t) { return CUDNN_TYPE_DATA_TYPE; }
inline cudnnBackendAttributeType_t type_of(cudnnConvolutionMode_t) { return CUDNN_TYPE_CONVOLUTION_MODE; }
inline cudnnBackendAttributeType_t type_of(cudnnPointwiseMode_t) { return CUDNN_TYPE_POINTWISE_MODE; }
inline cudnnBackendAttributeType_t type_of(cudnnBackendHeurMode_t) { return CUDNN_TYPE_HEUR_MODE; }
inline cudnnBackendAttributeType_t type_of(cudnnBackendKnobType_t) { return CUDNN_TYPE_KNOB_TYPE; }
inline cudnnBackendAttributeType_t type_of(cudnnGenStatsMode_t) { return CUDNN_TYPE_GENSTATS_MODE; }

template <class T>
cudnnStatus_t put(Descriptor descriptor, Name name, T value) {
  return cudnnBackendSetAttribute(descriptor, name, type_of(value), 1, &value);
}
inline cudnnStatus_t put(Descriptor descriptor, Name name, const std::vector<int64_t>& values) {
  return cudnnBackendSetAttribute(descriptor, name, CUDNN_TYPE_INT64, static_cast<int64_t>(values.size()), values.data());
}
inline cudnnStatus_t put(Descriptor descriptor, Name name, const std::vector<Descriptor>& parts) {
  return cudnnBackendSetAttribute(descriptor, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, static_cast<int64_t>(parts.size()), parts.data());
}

/// For what has to succeed.
inline Descriptor done(Descriptor descriptor) {
  EXPECT_EQ(cudnnBackendFinalize(descriptor), CUDNN_STATUS_SUCCESS);
  return descriptor;
}

using Extents = std::vector<int64_t>;
inline Extents nhwc(const Extents& e) { return {e[1] * e[2] * e[3], 1, e[1] * e[3], e[1]}; }

struct TensorSpec {
  int64_t uid;
  Extents extents;
  cudnnDataType_t type = CUDNN_DATA_FLOAT;
  bool is_virtual = false;
  std::optional<Extents> strides = {};
  int64_t alignment = 16;
};
inline Descriptor unfinished(const TensorSpec& spec) {
  const Descriptor tensor = make(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  EXPECT_EQ(put(tensor, CUDNN_ATTR_TENSOR_UNIQUE_ID, spec.uid), CUDNN_STATUS_SUCCESS);
  EXPECT_EQ(put(tensor, CUDNN_ATTR_TENSOR_DATA_TYPE, spec.type), CUDNN_STATUS_SUCCESS);
  EXPECT_EQ(put(tensor, CUDNN_ATTR_TENSOR_DIMENSIONS, spec.extents), CUDNN_STATUS_SUCCESS);
  EXPECT_EQ(put(tensor, CUDNN_ATTR_TENSOR_STRIDES, spec.strides ? *spec.strides : nhwc(spec.extents)), CUDNN_STATUS_SUCCESS);
  EXPECT_EQ(put(tensor, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, spec.alignment), CUDNN_STATUS_SUCCESS);
  EXPECT_EQ(put(tensor, CUDNN_ATTR_TENSOR_IS_VIRTUAL, spec.is_virtual), CUDNN_STATUS_SUCCESS);
  return tensor;
}
inline Descriptor tensor(const TensorSpec& spec) { return done(unfinished(spec)); }

inline Descriptor unfinished_convolution(const Extents& padding, const Extents& stride, const Extents& dilation) {
  const Descriptor conv = make(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
  EXPECT_EQ(put(conv, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_DATA_FLOAT), CUDNN_STATUS_SUCCESS);
  EXPECT_EQ(put(conv, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_CROSS_CORRELATION), CUDNN_STATUS_SUCCESS);
  EXPECT_EQ(put(conv, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, int64_t{2}), CUDNN_STATUS_SUCCESS);
  EXPECT_EQ(put(conv, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, padding), CUDNN_STATUS_SUCCESS);
  EXPECT_EQ(put(conv, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, padding), CUDNN_STATUS_SUCCESS);
  EXPECT_EQ(put(conv, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, stride), CUDNN_STATUS_SUCCESS);
  EXPECT_EQ(put(conv, CUDNN_ATTR_CONVOLUTION_DILATIONS, dilation), CUDNN_STATUS_SUCCESS);
  return conv;
}

enum class Kind { kForward, kData, kFilter };

/// One of the three convolutions; tensors are x, w and y or their gradients.
inline Descriptor unfinished_operation(Kind kind, Descriptor x, Descriptor w, Descriptor y, Descriptor conv) {
  const bool forward = kind == Kind::kForward, data = kind == Kind::kData;
  const Descriptor operation = make(forward ? CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR
                                    : data  ? CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR
                                            : CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR);
  const auto name = [&](Name of_forward, Name of_data, Name of_filter) { return forward ? of_forward : data ? of_data : of_filter; };
  EXPECT_EQ(put(operation,
                name(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
                     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X),
                x),
            CUDNN_STATUS_SUCCESS);
  EXPECT_EQ(put(operation,
                name(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
                     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW),
                w),
            CUDNN_STATUS_SUCCESS);
  EXPECT_EQ(put(operation,
                name(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
                     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY),
                y),
            CUDNN_STATUS_SUCCESS);
  EXPECT_EQ(put(operation,
                name(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
                     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC),
                conv),
            CUDNN_STATUS_SUCCESS);
  EXPECT_EQ(put(operation,
                name(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
                     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA),
                1.0f),
            CUDNN_STATUS_SUCCESS);
  EXPECT_EQ(put(operation,
                name(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA,
                     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA),
                0.0f),
            CUDNN_STATUS_SUCCESS);
  return operation;
}

inline Descriptor pointwise(cudnnPointwiseMode_t mode, Descriptor x, Descriptor y, Descriptor b = nullptr) {
  const Descriptor function = make(CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
  EXPECT_EQ(put(function, CUDNN_ATTR_POINTWISE_MODE, mode), CUDNN_STATUS_SUCCESS);
  EXPECT_EQ(put(function, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_DATA_FLOAT), CUDNN_STATUS_SUCCESS);
  const Descriptor operation = make(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
  EXPECT_EQ(put(operation, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, done(function)), CUDNN_STATUS_SUCCESS);
  EXPECT_EQ(put(operation, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x), CUDNN_STATUS_SUCCESS);
  EXPECT_EQ(put(operation, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, y), CUDNN_STATUS_SUCCESS);
  if (b) {
    EXPECT_EQ(put(operation, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, b), CUDNN_STATUS_SUCCESS);
  }
  return operation;
}

inline Descriptor graph_of(const std::vector<Descriptor>& operations) {
  const Descriptor graph = make(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
  EXPECT_EQ(put(graph, CUDNN_ATTR_OPERATIONGRAPH_OPS, operations), CUDNN_STATUS_SUCCESS);
  return graph;
}

inline Descriptor unfinished_engine(Descriptor graph, int64_t index) {
  const Descriptor engine = make(CUDNN_BACKEND_ENGINE_DESCRIPTOR);
  EXPECT_EQ(put(engine, CUDNN_ATTR_ENGINE_OPERATION_GRAPH, graph), CUDNN_STATUS_SUCCESS);
  EXPECT_EQ(put(engine, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, index), CUDNN_STATUS_SUCCESS);
  return engine;
}

inline Descriptor unfinished_plan(cudnnHandle_t handle, Descriptor graph, int64_t engine) {
  const Descriptor configuration = make(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
  EXPECT_EQ(put(configuration, CUDNN_ATTR_ENGINECFG_ENGINE, done(unfinished_engine(graph, engine))), CUDNN_STATUS_SUCCESS);
  const Descriptor plan = make(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
  EXPECT_EQ(put(plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, done(configuration)), CUDNN_STATUS_SUCCESS);
  EXPECT_EQ(put(plan, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, handle), CUDNN_STATUS_SUCCESS);
  return plan;
}

inline int64_t workspace_of(Descriptor plan) {
  int64_t bytes = -1;
  EXPECT_EQ(cudnnBackendGetAttribute(plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, nullptr, &bytes),
            CUDNN_STATUS_SUCCESS);
  return bytes;
}

inline Descriptor pack(const std::vector<std::pair<int64_t, void*>>& pointers, void* workspace = nullptr) {
  std::vector<int64_t> uids;
  std::vector<void*> addresses;
  for (const auto& [uid, address] : pointers) {
    uids.push_back(uid);
    addresses.push_back(address);
  }
  const Descriptor made = make(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
  EXPECT_EQ(put(made, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, uids), CUDNN_STATUS_SUCCESS);
  EXPECT_EQ(cudnnBackendSetAttribute(made, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR,
                                     static_cast<int64_t>(addresses.size()), addresses.data()),
            CUDNN_STATUS_SUCCESS);
  EXPECT_EQ(cudnnBackendSetAttribute(made, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace), CUDNN_STATUS_SUCCESS);
  return made;
}

}  // namespace mirilla::emulate
