// SPDX-License-Identifier: MIT
#include "kernels/emulate/library/work.h"

#include "kernels/core/half.h"

#include <cstring>

namespace mirilla::emulate {
using ptx::Fault;

namespace {

void check(Device& device, const LibraryWork& work, const Operand& operand, bool is_read) {
  const std::string what = fmt::format("{}: {}", work.call, operand.name);
  device.check_reach(operand.address, operand.bytes, what);
  if (!is_read || !device.settings.detect.unwritten) return;
  if (const auto at = device.memory.first_unwritten(operand.address, operand.bytes))
    throw Fault(Fault::Kind::kUnwritten, fmt::format("{} of {} bytes: byte {} was never written", what, operand.bytes,
                                                     *at - reinterpret_cast<ptx::u64>(operand.address)));
}

void carry_out(Runtime& r, Device& device, const LibraryWork& work) {
  for (const Operand& operand : work.reads) check(device, work, operand, true);
  for (const Operand& operand : work.writes) check(device, work, operand, false);
  if (work.workspace.bytes != 0) {
    check(device, work, work.workspace, false);
    std::memset(work.workspace.address, kNeverWritten, work.workspace.bytes);
  }
  const auto start = std::chrono::steady_clock::now();
  work.compute();
  r.seconds_in_libraries += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  for (const Operand& operand : work.writes) device.memory.wrote(operand.address, operand.bytes);
}

bool share(const Operand& a, const Operand& b) {
  const auto *const at = static_cast<const std::byte*>(a.address), *const other = static_cast<const std::byte*>(b.address);
  return a.bytes != 0 && b.bytes != 0 && at < other + b.bytes && other < at + a.bytes;
}

}  // namespace

cudaError_t enqueue(Runtime& r, cudaStream_t handle, LibraryWork work) {
  const auto stream = r.stream(handle);
  if (!stream) return cudaErrorInvalidResourceHandle;
  if (const cudaError_t refused = refuse_work(r, *stream)) return refused;
  Device& device = *r.devices[static_cast<size_t>(stream->device)];
  if (device.broken != cudaSuccess) return device.broken;
  const auto kept = std::make_shared<const LibraryWork>(std::move(work));
  submit(r, *stream, work_of([&r, &device, kept] { device.execute([&] { carry_out(r, device, *kept); }); }));
  return cudaSuccess;
}

std::string overlap_in(const LibraryWork& work) {
  std::vector<const Operand*> all;
  for (const Operand& operand : work.writes) all.push_back(&operand);
  const size_t written = all.size();
  all.push_back(&work.workspace);
  for (const Operand& operand : work.reads) all.push_back(&operand);
  for (size_t i = 0; i <= written; ++i) {
    for (size_t j = i + 1; j < all.size(); ++j) {
      if (share(*all[i], *all[j])) return fmt::format("{} and {} share memory, and one of them is written", all[i]->name, all[j]->name);
    }
  }
  return {};
}

std::vector<float> floats_at(const void* address, DType dtype, int64_t count) {
  std::vector<float> values(static_cast<size_t>(count));
  const auto convert = [&]<class T>(const T* from) {
    for (int64_t i = 0; i < count; ++i) values[static_cast<size_t>(i)] = static_cast<float>(from[i]);
  };
  if (dtype == DType::f16)
    convert(static_cast<const Half*>(address));
  else if (dtype == DType::bf16)
    convert(static_cast<const BFloat16*>(address));
  else
    convert(static_cast<const float*>(address));
  return values;
}

void store_floats(std::span<const float> values, void* address, DType dtype) {
  const auto convert = [&]<class T>(T* to) {
    for (size_t i = 0; i < values.size(); ++i) to[i] = static_cast<T>(values[i]);
  };
  if (dtype == DType::f16)
    convert(static_cast<Half*>(address));
  else if (dtype == DType::bf16)
    convert(static_cast<BFloat16*>(address));
  else
    convert(static_cast<float*>(address));
}

void round_to(DType dtype, std::span<float> values) {
  if (dtype == DType::f16)
    for (float& value : values) value = static_cast<float>(Half(value));
  else if (dtype == DType::bf16)
    for (float& value : values) value = static_cast<float>(BFloat16(value));
}

}  // namespace mirilla::emulate
