// SPDX-License-Identifier: MIT
// cuDNN's functions, as far as cudnn-frontend calls them for convolutions.
#include "kernels/emulate/cudnn/execute.h"

#include <algorithm>
#include <set>

namespace mirilla::emulate::cudnn {

namespace {

// What a program holds of a descriptor. A descriptor that is asked of another becomes a second handle of the same contents.
struct Held {
  std::shared_ptr<Contents> contents;
};

struct Known {
  std::set<const void*> descriptors;
  std::set<cudnnHandle_t> handles;
};
Known& known() {
  static auto& known = *std::make_unique<Known>().release();  // never destroyed: plans in static objects come last
  return known;
}

std::string& last_sentence() {
  static thread_local std::string sentence;
  return sentence;
}

constexpr Answers<cudnnStatus_t> kAnswers{CUDNN_STATUS_SUCCESS, CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED, find_status};

template <class F>
cudnnStatus_t call(const char* name, F f) {
  return library_call(kAnswers, last_sentence(), name, f);
}

Held& held(cudnnBackendDescriptor_t descriptor) {
  if (!descriptor) throw Refusal{CUDNN_STATUS_BAD_PARAM_NULL_POINTER, "the descriptor is null"};
  if (!known().descriptors.contains(descriptor)) throw Refusal{CUDNN_STATUS_BAD_PARAM, "the descriptor was destroyed, or never created"};
  return *static_cast<Held*>(descriptor);
}

const Contents& finished(cudnnBackendDescriptor_t descriptor, Type type) {
  const Contents& contents = *held(descriptor).contents;
  if (contents.type != type)
    throw Refusal{CUDNN_STATUS_BAD_PARAM_DESCRIPTOR_TYPE,
                  fmt::format("{} was given where {} was expected", name_of(contents.type), name_of(type))};
  if (!contents.finalized) throw Refusal{CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED, fmt::format("{} is not finalized", name_of(type))};
  return contents;
}

cudnnContext& context(cudnnHandle_t handle) {
  if (!is_handle(handle)) throw Refusal{CUDNN_STATUS_BAD_PARAM, "the handle was destroyed, or never created"};
  return *handle;
}

const Rule& rule_of(const Contents& contents, Name name, cudnnBackendAttributeType_t type) {
  const Rule* const rule = rule_for(contents.type, name);
  if (!rule)
    throw Refusal{CUDNN_STATUS_BAD_PARAM, fmt::format("{} has no attribute {} here", name_of(contents.type), static_cast<int>(name))};
  if (rule->type != type)
    throw Refusal{CUDNN_STATUS_BAD_PARAM_ATTRIBUTE_TYPE,
                  fmt::format("attribute {} of {} has type {}, and type {} was given", static_cast<int>(name), name_of(contents.type),
                              static_cast<int>(rule->type), static_cast<int>(type))};
  return *rule;
}

constexpr std::pair<Name, const char*> kAlterable[]{{CUDNN_ATTR_TENSOR_DIMENSIONS, "CUDNN_ATTR_TENSOR_DIMENSIONS"},
                                                    {CUDNN_ATTR_TENSOR_STRIDES, "CUDNN_ATTR_TENSOR_STRIDES"},
                                                    {CUDNN_ATTR_TENSOR_DATA_TYPE, "CUDNN_ATTR_TENSOR_DATA_TYPE"},
                                                    {CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, "CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT"},
                                                    {CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, "CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS"},
                                                    {CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, "CUDNN_ATTR_CONVOLUTION_POST_PADDINGS"},
                                                    {CUDNN_ATTR_CONVOLUTION_DILATIONS, "CUDNN_ATTR_CONVOLUTION_DILATIONS"},
                                                    {CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, "CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES"},
                                                    {CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, "CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS"},
                                                    {CUDNN_ATTR_VARIANT_PACK_WORKSPACE, "CUDNN_ATTR_VARIANT_PACK_WORKSPACE"}};

// The mistake kAlter: the last number twice as large (0: 1) and an alignment 1024 times, the other half type or f16 for f32, the last
// address 16 bytes further.
void alter(Name name, Value& value) {
  const auto change = [&]<class T>(T, auto f) {
    std::byte* const last = value.bytes.data() + value.bytes.size() - sizeof(T);
    T element;
    std::memcpy(&element, last, sizeof element);
    element = f(element);
    std::memcpy(last, &element, sizeof element);
  };
  if (value.type == CUDNN_TYPE_INT64)
    change(int64_t{}, [&](int64_t x) { return x == 0 ? 1 : x * (name == CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT ? 1024 : 2); });
  else if (value.type == CUDNN_TYPE_VOID_PTR)
    change(uintptr_t{}, [](uintptr_t x) { return x == 0 ? 0 : x + 16; });
  else
    change(cudnnDataType_t{}, [](cudnnDataType_t x) { return x == CUDNN_DATA_HALF ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_HALF; });
}

void set(Contents& contents, Name name, cudnnBackendAttributeType_t type, int64_t count, const void* elements) {
  const Rule& rule = rule_of(contents, name, type);
  if (contents.finalized)
    throw Refusal{CUDNN_STATUS_BAD_PARAM, fmt::format("{} is finalized, so its attributes stay as they are", name_of(contents.type))};
  if (rule.need == Rule::Need::kMade)
    throw Refusal{CUDNN_STATUS_BAD_PARAM, fmt::format("attribute {} of {} is only read", static_cast<int>(name), name_of(contents.type))};
  const bool may_be_empty = name == CUDNN_ATTR_ENGINECFG_KNOB_CHOICES;
  if (count > rule.most || count < (may_be_empty ? 0 : 1) || (rule.most == 1 && count != 1) || (!elements && count != 0))
    throw Refusal{CUDNN_STATUS_BAD_PARAM,
                  fmt::format("attribute {} of {} was given {} elements{}: 1 to {} were expected", static_cast<int>(name),
                              name_of(contents.type), count, elements ? "" : " at null", rule.most)};
  if (type != CUDNN_TYPE_BACKEND_DESCRIPTOR) {
    const auto* const bytes = static_cast<const std::byte*>(elements);
    Value& value = contents.values[name] = {type, count, {bytes, bytes + static_cast<size_t>(count) * bytes_of(type)}};
    for (const auto& [attribute, text] : kAlterable)
      if (attribute == name && runtime().altered(text)) alter(name, value);
    return;
  }
  std::vector<Finished> parts;
  for (int64_t i = 0; i < count; ++i) {
    const Held& part = held(static_cast<const cudnnBackendDescriptor_t*>(elements)[i]);
    if (!part.contents->finalized)
      throw Refusal{CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED,
                    fmt::format("{} is not finalized, and {} was to use it", name_of(part.contents->type), name_of(contents.type))};
    if (!may_be_part(name, part.contents->type))
      throw Refusal{CUDNN_STATUS_BAD_PARAM_DESCRIPTOR_TYPE, fmt::format("attribute {} of {} was given {}", static_cast<int>(name),
                                                                        name_of(contents.type), name_of(part.contents->type))};
    parts.push_back(part.contents);
  }
  contents.put(name, std::move(parts));
}

void get(const Contents& contents, Name name, cudnnBackendAttributeType_t type, int64_t room, int64_t* count, void* elements) {
  if (!contents.finalized)
    throw Refusal{CUDNN_STATUS_NOT_INITIALIZED,
                  fmt::format("{} is not finalized, so it has no attributes to read yet", name_of(contents.type))};
  rule_of(contents, name, type);
  const Value* const value = contents.find(name);
  if (!value)
    throw Refusal{CUDNN_STATUS_NOT_SUPPORTED,
                  fmt::format("attribute {} of {} is not known", static_cast<int>(name), name_of(contents.type)), false};
  const int64_t copied = elements ? std::min(room, value->count) : 0;
  if (count) *count = elements ? copied : value->count;
  if (type != CUDNN_TYPE_BACKEND_DESCRIPTOR) {
    if (copied > 0) std::memcpy(elements, value->bytes.data(), static_cast<size_t>(copied) * bytes_of(type));
    return;
  }
  for (int64_t i = 0; i < copied; ++i) {
    Held& into = held(static_cast<cudnnBackendDescriptor_t*>(elements)[i]);
    const Finished& from = value->descriptors[static_cast<size_t>(i)];
    if (into.contents->type != from->type)
      throw Refusal{CUDNN_STATUS_BAD_PARAM_DESCRIPTOR_TYPE,
                    fmt::format("{} was to be read into {}", name_of(from->type), name_of(into.contents->type))};
    into.contents = std::const_pointer_cast<Contents>(from);  // finalized: nobody changes it
  }
}

void create(cudnnHandle_t* handle, Runtime& r) {
  if (!handle) throw Refusal{CUDNN_STATUS_BAD_PARAM_NULL_POINTER, "the handle's address is null"};
  if (r.device().broken != cudaSuccess) throw Refusal{CUDNN_STATUS_NOT_INITIALIZED, "the GPU has failed before", false};
  if (refuse_unsafe(r) != cudaSuccess)
    throw Refusal{CUDNN_STATUS_NOT_INITIALIZED, "it takes memory, which CUDA forbids while a stream captures"};
  *handle = std::make_unique<cudnnContext>(cudnnContext{Runtime::current(), nullptr}).release();
  known().handles.insert(*handle);
}

void set_stream(cudnnContext& context, Runtime& r, cudaStream_t stream) {
  const auto found = r.stream(stream);
  if (!found) throw Refusal{CUDNN_STATUS_BAD_PARAM, "the stream was destroyed, or never created"};
  if (stream && found->device != context.device)
    throw Refusal{CUDNN_STATUS_BAD_PARAM, fmt::format("the stream is of GPU {} and the handle of GPU {}", found->device, context.device)};
  context.stream = r.mistake == Mistake::Kind::kStray ? found.get() : stream;
}

}  // namespace

const Value* Contents::find(Name name) const {
  const auto found = values.find(name);
  return found == values.end() ? nullptr : &found->second;
}

std::vector<int64_t> Contents::integers(Name name) const {
  const Value& value = *find(name);
  std::vector<int64_t> numbers(static_cast<size_t>(value.count));
  std::memcpy(numbers.data(), value.bytes.data(), value.bytes.size());
  return numbers;
}

void Contents::put(Name name, std::vector<Finished> parts) {
  values[name] = {CUDNN_TYPE_BACKEND_DESCRIPTOR, static_cast<int64_t>(parts.size()), {}, std::move(parts)};
}

bool is_handle(cudnnHandle_t handle) { return known().handles.contains(handle); }

extern "C" {

size_t CUDNNWINAPI cudnnGetVersion() { return CUDNN_VERSION; }
const char* CUDNNWINAPI cudnnGetErrorString(cudnnStatus_t status) { return name_of(status); }

void CUDNNWINAPI cudnnGetLastErrorString(char* message, size_t size) {
  if (size == 0) return;
  const size_t copied = std::min(size - 1, last_sentence().size());
  last_sentence().copy(message, copied);
  message[copied] = 0;
}

cudnnStatus_t CUDNNWINAPI cudnnCreate(cudnnHandle_t* handle) {
  return call("cudnnCreate", [&](Runtime& r) { create(handle, r); });
}

cudnnStatus_t CUDNNWINAPI cudnnDestroy(cudnnHandle_t handle) {
  return call("cudnnDestroy", [&](Runtime&) {
    const std::unique_ptr<cudnnContext> owned(&context(handle));
    known().handles.erase(handle);
  });
}

cudnnStatus_t CUDNNWINAPI cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream) {
  return call("cudnnSetStream", [&](Runtime& r) { set_stream(context(handle), r, stream); });
}

cudnnStatus_t CUDNNWINAPI cudnnGetStream(cudnnHandle_t handle, cudaStream_t* stream) {
  return call("cudnnGetStream", [&](Runtime&) { *stream = context(handle).stream; });
}

cudnnStatus_t CUDNNWINAPI cudnnBackendCreateDescriptor(cudnnBackendDescriptorType_t type, cudnnBackendDescriptor_t* descriptor) {
  return call("cudnnBackendCreateDescriptor", [&](Runtime&) {
    if (!descriptor) throw Refusal{CUDNN_STATUS_BAD_PARAM_NULL_POINTER, "the descriptor's address is null"};
    *descriptor = nullptr;
    if (!is_known(type))
      throw Refusal{CUDNN_STATUS_NOT_SUPPORTED, fmt::format("descriptors of type {} are not emulated", static_cast<int>(type)), false};
    *descriptor = std::make_unique<Held>(Held{std::make_shared<Contents>(Contents{type})}).release();
    known().descriptors.insert(*descriptor);
  });
}

cudnnStatus_t CUDNNWINAPI cudnnBackendDestroyDescriptor(cudnnBackendDescriptor_t descriptor) {
  return call("cudnnBackendDestroyDescriptor", [&](Runtime&) {
    if (!descriptor) return;
    const std::unique_ptr<Held> owned(&held(descriptor));
    known().descriptors.erase(descriptor);
  });
}

cudnnStatus_t CUDNNWINAPI cudnnBackendSetAttribute(cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name,
                                                   cudnnBackendAttributeType_t type, int64_t count, const void* elements) {
  return call("cudnnBackendSetAttribute", [&](Runtime&) { set(*held(descriptor).contents, name, type, count, elements); });
}

cudnnStatus_t CUDNNWINAPI cudnnBackendGetAttribute(cudnnBackendDescriptor_t const descriptor, cudnnBackendAttributeName_t name,
                                                   cudnnBackendAttributeType_t type, int64_t room, int64_t* count, void* elements) {
  return call("cudnnBackendGetAttribute", [&](Runtime&) { get(*held(descriptor).contents, name, type, room, count, elements); });
}

cudnnStatus_t CUDNNWINAPI cudnnBackendFinalize(cudnnBackendDescriptor_t descriptor) {
  return call("cudnnBackendFinalize", [&](Runtime&) {
    Contents& contents = *held(descriptor).contents;
    if (contents.finalized) throw Refusal{CUDNN_STATUS_BAD_PARAM, fmt::format("{} is finalized already", name_of(contents.type))};
    if (const std::string missing = missing_in(contents); !missing.empty())
      throw Refusal{CUDNN_STATUS_BAD_PARAM, fmt::format("{} is not set", missing)};
    finish(contents);
    contents.finalized = true;
  });
}

cudnnStatus_t CUDNNWINAPI cudnnBackendExecute(cudnnHandle_t handle, cudnnBackendDescriptor_t plan, cudnnBackendDescriptor_t pack) {
  return call("cudnnBackendExecute", [&](Runtime& r) {
    execute(r, context(handle), finished(plan, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR),
            finished(pack, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR));
  });
}

}  // extern "C"

}  // namespace mirilla::emulate::cudnn
