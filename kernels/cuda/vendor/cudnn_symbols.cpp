// SPDX-License-Identifier: MIT
#include <cudnn.h>

#include "kernels/cuda/vendor/cudnn.h"

// The functions that cudnn-frontend calls, under their original names: each looks up its function once, in the library that was opened.
// cudnn-frontend's own way of opening cuDNN would open a second CUDA runtime beside ours.

namespace {

template <class Function>
Function* in_cudnn(const char* symbol) {
  return mirilla::cuda::vendor::cudnn().function<Function>(symbol);
}

}  // namespace

extern "C" {

size_t cudnnGetVersion() {
  static const auto function = in_cudnn<decltype(cudnnGetVersion)>("cudnnGetVersion");
  return function();
}
const char* cudnnGetErrorString(cudnnStatus_t status) {
  static const auto function = in_cudnn<decltype(cudnnGetErrorString)>("cudnnGetErrorString");
  return function(status);
}
void cudnnGetLastErrorString(char* message, size_t size) {
  static const auto function = in_cudnn<decltype(cudnnGetLastErrorString)>("cudnnGetLastErrorString");
  function(message, size);
}
cudnnStatus_t cudnnCreate(cudnnHandle_t* handle) {
  static const auto function = in_cudnn<decltype(cudnnCreate)>("cudnnCreate");
  return function(handle);
}
cudnnStatus_t cudnnDestroy(cudnnHandle_t handle) {
  static const auto function = in_cudnn<decltype(cudnnDestroy)>("cudnnDestroy");
  return function(handle);
}
cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream) {
  static const auto function = in_cudnn<decltype(cudnnSetStream)>("cudnnSetStream");
  return function(handle, stream);
}
cudnnStatus_t cudnnGetStream(cudnnHandle_t handle, cudaStream_t* stream) {
  static const auto function = in_cudnn<decltype(cudnnGetStream)>("cudnnGetStream");
  return function(handle, stream);
}
cudnnStatus_t cudnnBackendCreateDescriptor(cudnnBackendDescriptorType_t type, cudnnBackendDescriptor_t* descriptor) {
  static const auto function = in_cudnn<decltype(cudnnBackendCreateDescriptor)>("cudnnBackendCreateDescriptor");
  return function(type, descriptor);
}
cudnnStatus_t cudnnBackendDestroyDescriptor(cudnnBackendDescriptor_t descriptor) {
  static const auto function = in_cudnn<decltype(cudnnBackendDestroyDescriptor)>("cudnnBackendDestroyDescriptor");
  return function(descriptor);
}
cudnnStatus_t cudnnBackendFinalize(cudnnBackendDescriptor_t descriptor) {
  static const auto function = in_cudnn<decltype(cudnnBackendFinalize)>("cudnnBackendFinalize");
  return function(descriptor);
}
cudnnStatus_t cudnnBackendSetAttribute(cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t count, const void* elements) {
  static const auto function = in_cudnn<decltype(cudnnBackendSetAttribute)>("cudnnBackendSetAttribute");
  return function(descriptor, name, type, count, elements);
}
cudnnStatus_t cudnnBackendGetAttribute(cudnnBackendDescriptor_t const descriptor, cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t wanted, int64_t* count, void* elements) {
  static const auto function = in_cudnn<decltype(cudnnBackendGetAttribute)>("cudnnBackendGetAttribute");
  return function(descriptor, name, type, wanted, count, elements);
}
cudnnStatus_t cudnnBackendExecute(cudnnHandle_t handle, cudnnBackendDescriptor_t plan, cudnnBackendDescriptor_t pack) {
  static const auto function = in_cudnn<decltype(cudnnBackendExecute)>("cudnnBackendExecute");
  return function(handle, plan, pack);
}
}
