// SPDX-License-Identifier: MIT
// Copies and fills. A copy of pinned or device memory is done as late as any other work; pageable memory is read before the call returns,
// and a copy to it waits.
#include "kernels/emulate/copies.h"

#include <cstring>

namespace mirilla::emulate {
using ptx::Fault;
using ptx::u64;

namespace {

enum class Where { kDevice, kPinned, kPageable };

// Managed memory counts as the device's here: nothing watches what the host does with it.
Where where(const Runtime& r, const void* address) {
  const MemoryBlock* const block = r.blocks.find(address);
  if (!block) return Where::kPageable;
  return block->kind == MemoryBlock::Kind::kPinned ? Where::kPinned : Where::kDevice;
}

bool fits(const Runtime& r, const GraphBlocks* own, const void* address, size_t bytes, bool on_device) {
  const MemoryBlock* const block = r.blocks.find(address);
  if (own && !block) {
    for (const auto& [begin, one] : *own) {
      const std::byte* const at = static_cast<const std::byte*>(address);
      if (at >= one->address && at + bytes <= one->address + one->bytes) return on_device;
    }
  }
  if (!block) return !on_device;
  if (static_cast<const std::byte*>(address) + bytes > block->begin + block->bytes) return false;
  return block->kind == MemoryBlock::Kind::kManaged || on_device == (block->kind != MemoryBlock::Kind::kPinned);
}

struct Sides {
  Where target, source;
};

Sides sides_of(const Runtime& r, const Copy& copy) {
  Sides sides{where(r, copy.rows.front().to), where(r, copy.rows.front().from)};
  if (copy.kind == cudaMemcpyHostToDevice || copy.kind == cudaMemcpyDeviceToDevice) sides.target = Where::kDevice;
  if (copy.kind == cudaMemcpyDeviceToHost || copy.kind == cudaMemcpyDeviceToDevice) sides.source = Where::kDevice;
  return sides;
}

size_t bytes_of(const std::vector<Row>& rows) {
  size_t bytes = 0;
  for (const Row& row : rows) bytes += row.bytes;
  return bytes;
}

// The device whose memory it is: of copies between two GPUs, another one than that of the stream.
Device& owner_of(Runtime& r, Device& device, const void* address) {
  const MemoryBlock* const block = r.blocks.find(address);
  const bool of_all = !block || block->kind == MemoryBlock::Kind::kPinned || block->kind == MemoryBlock::Kind::kManaged;
  return of_all ? device : *r.devices[static_cast<size_t>(block->device)];
}

[[noreturn]] void changed(const Copy& copy, std::string_view what) {
  throw Fault(Fault::Kind::kRace, fmt::format("{} of {} bytes: {}", copy.call, bytes_of(copy.rows), what),
              "wait for an event that comes after the copy first");
}

void check_written(Device& device, const Copy& copy, const Row& row) {
  if (!device.settings.detect.unwritten) return;
  if (const auto at = device.memory.first_unwritten(row.from, row.bytes))
    throw Fault(Fault::Kind::kUnwritten, fmt::format("{} of {} bytes to the host: byte {} was never written", copy.call, row.bytes,
                                                     *at - reinterpret_cast<u64>(row.from)));
}

struct Watched {
  u64 read = 0, write = 0;
};

void carry_out(Runtime& r, Device& device, const Copy& copy, const Row& row, Sides sides, const void* from, Watched watched) {
  Device& target = owner_of(r, device, row.to);
  Device& source = owner_of(r, device, row.from);
  if (sides.target != Where::kPageable) target.check_reach(row.to, row.bytes, copy.call);
  if (sides.source != Where::kPageable) source.check_reach(row.from, row.bytes, copy.call);
  if (!r.pinned.unchanged(watched.read)) changed(copy, "its pinned source was changed before the copy had read it");
  if (!r.pinned.unchanged(watched.write)) changed(copy, "its pinned target was written before the copy had filled it");
  if (sides.source == Where::kDevice && sides.target != Where::kDevice) check_written(source, copy, row);
  std::memmove(row.to, from, row.bytes);
  if (sides.target != Where::kDevice) return;
  // Where the host's memory was, the program may have device memory by now: its address says nothing about what was copied.
  if (&target == &source && sides.source == Where::kDevice)
    target.memory.copied(row.to, row.from, row.bytes);
  else
    target.memory.wrote(row.to, row.bytes);
}

}  // namespace

std::vector<Row> rows_of(const Pitched& to, const Pitched& from, cudaExtent extent) {
  std::vector<Row> rows;
  if (extent.width == 0) return rows;
  for (size_t plane = 0; plane < extent.depth; ++plane) {
    for (size_t k = 0; k < extent.height; ++k) {
      auto* const target = static_cast<std::byte*>(to.address) + (plane * to.plane_rows + k) * to.pitch;
      const auto* const source = static_cast<const std::byte*>(from.address) + (plane * from.plane_rows + k) * from.pitch;
      Row* const last = rows.empty() ? nullptr : &rows.back();
      const bool follows = last && static_cast<std::byte*>(last->to) + last->bytes == target &&
                           (!from.address || static_cast<const std::byte*>(last->from) + last->bytes == source);
      if (follows)
        last->bytes += extent.width;
      else
        rows.push_back({target, from.address ? source : nullptr, extent.width});
    }
  }
  return rows;
}

cudaError_t check(const Runtime& r, const GraphBlocks* own, const Copy& copy) {
  const bool to_device = copy.kind == cudaMemcpyHostToDevice || copy.kind == cudaMemcpyDeviceToDevice;
  const bool from_device = copy.kind == cudaMemcpyDeviceToHost || copy.kind == cudaMemcpyDeviceToDevice;
  for (const Row& row : copy.rows) {
    if (!row.to || !row.from) return cudaErrorInvalidValue;
    if (copy.kind == cudaMemcpyDefault) continue;
    if (!fits(r, own, row.to, row.bytes, to_device) || !fits(r, own, row.from, row.bytes, from_device)) return cudaErrorInvalidValue;
  }
  return cudaSuccess;
}

cudaError_t check(const Runtime& r, const GraphBlocks* own, const Fill& fill) {
  for (const Row& row : fill.rows) {
    if (!fits(r, own, row.to, row.bytes, true)) return cudaErrorInvalidValue;
  }
  return cudaSuccess;
}

Work work_for(Runtime& r, Device& device, const Copy& copy, bool recorded) {
  const Sides sides = sides_of(r, copy);
  return {[&r, &device, copy, sides, recorded](CUstream_st&) {
            // A graph reads pageable memory whenever it runs.
            std::shared_ptr<std::vector<std::byte>> kept;
            if (sides.source == Where::kPageable && !recorded) {
              kept = std::make_shared<std::vector<std::byte>>();
              for (const Row& row : copy.rows) {
                const auto* const from = static_cast<const std::byte*>(row.from);
                kept->insert(kept->end(), from, from + row.bytes);
              }
            }
            std::vector<Watched> watched;
            for (const Row& row : copy.rows) {
              watched.push_back({sides.source == Where::kPinned ? r.pinned.begin_read(row.from, row.bytes) : 0,
                                 sides.target == Where::kPinned ? r.pinned.begin_write(row.to, row.bytes) : 0});
            }
            return std::function<void()>([&r, &device, copy, sides, kept, watched] {
              device.execute([&] {
                size_t at = 0;
                for (size_t k = 0; k < copy.rows.size(); ++k) {
                  const Row& row = copy.rows[k];
                  carry_out(r, device, copy, row, sides, kept ? kept->data() + at : row.from, watched[k]);
                  at += row.bytes;
                }
              });
            });
          },
          cudaGraphNodeTypeMemcpy};
}

Work work_for(Device& device, const Fill& fill) {
  Work work = work_of([&device, fill] {
    device.execute([&] {
      for (const Row& row : fill.rows) {
        device.check_reach(row.to, row.bytes, fill.call);
        if (fill.element_bytes == 1) {
          std::memset(row.to, static_cast<int>(fill.value), row.bytes);
        } else {
          for (size_t at = 0; at + fill.element_bytes <= row.bytes; at += fill.element_bytes)
            std::memcpy(static_cast<std::byte*>(row.to) + at, &fill.value, fill.element_bytes);
        }
        device.memory.wrote(row.to, row.bytes);
      }
    });
  });
  work.type = cudaGraphNodeTypeMemset;
  return work;
}

cudaError_t copy_on(Runtime& r, const Copy& asked, cudaStream_t handle) {
  const auto stream = r.stream(handle);
  if (!stream) return cudaErrorInvalidResourceHandle;
  if (const cudaError_t refused = refuse_work(r, *stream)) return refused;
  if (bytes_of(asked.rows) == 0) return cudaSuccess;
  const Capture* const capture = stream->capture.get();
  if (const cudaError_t wrong = check(r, capture ? &capture->blocks : nullptr, asked)) return wrong;
  Device& device = *r.devices[static_cast<size_t>(stream->device)];
  Copy copy = asked;
  copy.rows.back().bytes = r.bytes_by_mistake(copy.rows.back().bytes);
  submit(r, *stream, work_for(r, device, copy, capture != nullptr));
  if (sides_of(r, asked).target == Where::kPageable && !capture) stream->drain(r);
  return cudaSuccess;
}

cudaError_t copy_now(Runtime& r, const Copy& copy) {
  if (const cudaError_t refused = refuse_unsafe(r)) return refused;
  const cudaError_t status = copy_on(r, copy, nullptr);
  if (status == cudaSuccess) r.device().legacy->drain(r);
  return status;
}

cudaError_t fill_on(Runtime& r, const Fill& asked, cudaStream_t handle) {
  const auto stream = r.stream(handle);
  if (!stream) return cudaErrorInvalidResourceHandle;
  if (const cudaError_t refused = refuse_work(r, *stream)) return refused;
  if (bytes_of(asked.rows) == 0) return cudaSuccess;
  if (const cudaError_t wrong = check(r, stream->capture ? &stream->capture->blocks : nullptr, asked)) return wrong;
  Fill fill = asked;
  fill.rows.back().bytes = r.bytes_by_mistake(fill.rows.back().bytes);
  submit(r, *stream, work_for(*r.devices[static_cast<size_t>(stream->device)], fill));
  return cudaSuccess;
}

}  // namespace mirilla::emulate
