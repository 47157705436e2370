// SPDX-License-Identifier: MIT
#include "kernels/emulate/fatbin.h"

#include "kernels/core/error.h"
#include "kernels/ptx/types.h"

#include <cstring>

namespace mirilla::emulate {

using ptx::u16;
using ptx::u32;
using ptx::u64;

namespace {

// NVIDIA documents neither; these are the fields that nvcc 12 and 13 write and that are needed here.
struct Header {
  u32 magic = 0xba55ed50;
  u16 version = 1;
  u16 header_bytes = sizeof(u64) * 2;
  u64 bytes = 0;  // of all parts
};
struct Part {
  u16 kind = 1;  // 1: PTX, 2: machine code
  u16 version = 0x101;
  u32 header_bytes = 64;
  u64 bytes = 0;  // of its content
  u32 compressed_bytes = 0;
  u32 options_offset = 0;
  u16 minor = 0, major = 9;
  u32 capability = 0;
  u32 name_offset = 0, name_bytes = 0;
  u64 flags = 0;
  u64 unused = 0;
  u64 plain_bytes = 0;
};
static_assert(sizeof(Header) == 16 && sizeof(Part) == 64);
constexpr u16 kPtx = 1;

template <class T>
T read(const unsigned char* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

}  // namespace

std::string find_ptx(const void* data, int capability) {
  const auto* at = static_cast<const unsigned char*>(data);
  const auto head = read<Header>(at);
  if (head.magic != Header{}.magic) throw DeviceError("a fat binary of kernels was expected and something else was registered");
  at += head.header_bytes;
  const unsigned char* const end = at + head.bytes;
  const unsigned char* best = nullptr;
  u32 best_capability = 0, newest = 0;
  while (at < end) {
    const auto part = read<Part>(at);
    if (part.header_bytes < sizeof(Part) || part.bytes > static_cast<u64>(end - at))
      throw DeviceError(fmt::format("a part of {} bytes in a fat binary of kernels reaches past its end", part.bytes));
    if (part.kind == kPtx) {
      newest = std::max(newest, part.capability);
      if (part.capability <= static_cast<u32>(capability) && (!best || part.capability > best_capability)) {
        best = at;
        best_capability = part.capability;
      }
    }
    at += part.header_bytes + part.bytes;
  }
  if (!best) {
    throw DeviceError(newest ? fmt::format("the kernels are PTX for sm_{} and the emulated GPU is sm_{}", newest, capability)
                             : "the kernels are machine code only, and an emulated GPU wants their PTX",
                      fmt::format("build with -DMIRILLA_CUDA_ARCHITECTURES={}-virtual", capability));
  }
  const auto part = read<Part>(best);
  const auto* const text = reinterpret_cast<const char*>(best + part.header_bytes);
  std::string found(text, strnlen(text, part.bytes));
  if (found.find(".version") == std::string::npos)
    throw DeviceError("the PTX of the kernels is compressed, and the emulated GPU wants it as it is",
                      "build with -DMIRILLA_CUDA_COMPRESS=OFF");
  return found;
}

std::vector<unsigned char> make_fat_binary(const std::vector<PtxText>& texts) {
  std::vector<unsigned char> bytes(sizeof(Header));
  const auto append = [&](const void* from, size_t count) {
    bytes.insert(bytes.end(), static_cast<const unsigned char*>(from), static_cast<const unsigned char*>(from) + count);
  };
  for (const PtxText& one : texts) {
    Part part;
    part.bytes = (one.text.size() + 1 + 7) / 8 * 8;
    part.capability = static_cast<u32>(one.capability);
    append(&part, sizeof part);
    append(one.text.data(), one.text.size());
    bytes.resize(bytes.size() + part.bytes - one.text.size());
  }
  Header head;
  head.bytes = bytes.size() - sizeof head;
  std::memcpy(bytes.data(), &head, sizeof head);
  return bytes;
}

}  // namespace mirilla::emulate
