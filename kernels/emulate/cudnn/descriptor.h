// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/emulate/library/frame.h"

#include <cudnn.h>

#include <cstddef>
#include <cstring>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

/// A stand-in for cuDNN 9 at its backend API: cudnnBackendCreateDescriptor and so on, declared by cuDNN's own headers.
namespace mirilla::emulate::cudnn {

using Refusal = Refused<cudnnStatus_t>;
using Type = cudnnBackendDescriptorType_t;
using Name = cudnnBackendAttributeName_t;

struct Contents;
struct Graph;
using Finished = std::shared_ptr<const Contents>;

/// The elements of one attribute, as they were given.
struct Value {
  cudnnBackendAttributeType_t type = CUDNN_TYPE_INT64;
  int64_t count = 0;
  std::vector<std::byte> bytes = {};
  std::vector<Finished> descriptors = {};  // of CUDNN_TYPE_BACKEND_DESCRIPTOR, in place of bytes
};

/// A descriptor's contents. Whoever takes a finalized descriptor as an attribute shares them, so that a program may destroy it at once.
struct Contents {
  Type type;
  bool finalized = false;
  std::map<Name, Value> values = {};
  std::shared_ptr<const Graph> graph = {};  // of an operation graph, and of what is made for it

  const Value* find(Name name) const;
  /// The first element of an attribute that is there, as finalizing has checked.
  template <class T>
  T get(Name name) const {
    T value{};
    std::memcpy(&value, find(name)->bytes.data(), sizeof value);
    return value;
  }
  template <class T>
  T get_or(Name name, T otherwise) const {
    return find(name) ? get<T>(name) : otherwise;
  }
  std::vector<int64_t> integers(Name name) const;
  const Contents& part(Name name) const { return *find(name)->descriptors.front(); }

  template <class T>
  void put(Name name, cudnnBackendAttributeType_t attribute_type, std::span<const T> elements) {
    const auto bytes = std::as_bytes(elements);
    values[name] = {attribute_type, static_cast<int64_t>(elements.size()), {bytes.begin(), bytes.end()}};
  }
  void put(Name name, std::vector<Finished> parts);
};

/// How an attribute may be set.
struct Rule {
  Type of;
  Name name;
  cudnnBackendAttributeType_t type;
  int64_t most = 1;                                                        // elements
  enum class Need { kRequired, kOptional, kMade } need = Need::kRequired;  // kMade: by finalizing, not set
};

/// nullptr for an attribute that descriptors of the type lack.
const Rule* rule_for(Type type, Name name);
bool is_known(Type type);
/// Whether a descriptor of this type may be given as this attribute.
bool may_be_part(Name name, Type type);
const char* name_of(Type type);
size_t bytes_of(cudnnBackendAttributeType_t type);
/// The name of a required attribute that is not set, as a number and what it is for; empty for none.
std::string missing_in(const Contents& contents);

/// Checks a descriptor whose required attributes are set, and makes what it answers from then on. Throws Refusal.
void finish(Contents& contents);

/// "CUDNN_STATUS_BAD_PARAM".
std::optional<cudnnStatus_t> find_status(std::string_view name);
const char* name_of(cudnnStatus_t status);

/// The handle behind cudnnHandle_t.
bool is_handle(cudnnHandle_t handle);

}  // namespace mirilla::emulate::cudnn

struct cudnnContext {
  int device = 0;
  cudaStream_t stream = nullptr;
};
