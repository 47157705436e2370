// SPDX-License-Identifier: MIT
#include "kernels/ptx/count.h"
#include "kernels/ptx/detect/race.h"
#include "kernels/ptx/forms/memory.h"

#include <algorithm>

// Translates an address to host memory, with all checks.

namespace mirilla::ptx {

Addresses addresses_of(const Instruction& i, const Warp& warp, int operand) {
  Addresses addresses;
  if (i.address_bytes == 8) {
    const u64* a = warp.in<u64>(i, operand);
    for (u32 l = 0; l < kLanes; ++l) addresses[l] = a[l] + static_cast<u64>(i.offset);
  } else {
    const u32* a = warp.in<u32>(i, operand);
    for (u32 l = 0; l < kLanes; ++l) addresses[l] = a[l] + static_cast<u32>(i.offset);
    for (u32 l = 0; l < kLanes; ++l) addresses[l] &= 0xffffffffu;
  }
  return addresses;
}

Space space_of(u64* address) {
  const u64 window = *address & kWindowMask;
  if (window == 0) return Space::kGlobal;
  *address &= ~kWindowMask;
  if (window == kSharedWindow) return Space::kShared;
  return window == kLocalWindow ? Space::kLocal : window == kParamWindow ? Space::kParam : Space::kGlobal;
}

namespace {

struct Range {
  u64 low, high, odd;
};
Range range_of(const Addresses& addresses, u32 mask) {
  const u64 some = addresses[first_lane(mask)];
  Range range{some, some, 0};
  for (u32 l = 0; l < kLanes; ++l) {
    const u64 a = static_cast<u64>(mask) >> l & 1u ? addresses[l] : some;
    range.low = a < range.low ? a : range.low;
    range.high = a > range.high ? a : range.high;
    range.odd |= a;
  }
  return range;
}

void check_alignment(const Instruction& i, const Warp& warp, const Addresses& addresses, u32 mask, u32 bytes, std::string_view space) {
  each_lane(mask, [&](u32 l) {
    if (addresses[l] & (bytes - 1)) {
      fail(warp, i, l, Fault::Kind::kMisaligned, fmt::format("{} bytes of {} memory at {:#x}", bytes, space, addresses[l]));
    }
  });
}

[[noreturn]] void no_memory(const Instruction& i, const Warp& warp, u32 lane, u64 address, const AccessKind& kind, const Allocation* near) {
  const std::string_view verb = kind.store ? "stores" : "reads";
  if (near && near->freed && address >= near->begin && address < near->end()) {
    fail(warp, i, lane, Fault::Kind::kFreed,
         fmt::format("it {} {} bytes at {:#x}, byte {} of {} that were freed", verb, kind.bytes, address, address - near->begin,
                     near->bytes));
  }
  if (near && address >= near->begin) {
    const std::string name = near->name.empty() ? "" : fmt::format(" ({})", near->name);
    fail(warp, i, lane, Fault::Kind::kOutside,
         fmt::format("it {} {} bytes at byte {} of an allocation{} of {} bytes", verb, kind.bytes, address - near->begin, name,
                     near->bytes));
  }
  fail(warp, i, lane, Fault::Kind::kOutside, fmt::format("it {} {} bytes at {:#x}, where no memory is", verb, kind.bytes, address));
}

Found& find(const Instruction& i, const Warp& warp, u32 lane, u64 address, const AccessKind& kind) {
  Found& found = warp.block->found[i.cache];
  if (address >= found.begin && address + kind.bytes <= found.end) return found;
  Memory& memory = *warp.block->memory;
  Allocation* there = memory.find(address);
  if (!there || there->freed || address + kind.bytes > there->end())
    no_memory(i, warp, lane, address, kind, there ? there : memory.below(address));
  found = {there->begin, there->end(), there};
  return found;
}

void watch_written(const Instruction& i, const Warp& warp, u32 lane, std::vector<u8>& written, u64 offset, const AccessKind& kind,
                   std::string_view space) {
  if (written.empty()) return;
  u8* flags = written.data() + offset;
  if (kind.load) {
    for (u32 k = 0; k < kind.bytes; ++k) {
      if (flags[k]) continue;
      report(warp, i, lane, Fault::Kind::kUnwritten, fmt::format("byte {} of {}", offset + k, space));
      break;
    }
  }
  if (kind.store) std::memset(flags, 1, kind.bytes);
}

// In either order: a GPU may read such memory early, late or twice.
void watch_constant(const Instruction& i, const Warp& warp, u32 lane, Allocation& allocation, u64 offset, const AccessKind& kind) {
  if (allocation.stored_in.empty()) {
    allocation.stored_in.resize((allocation.bytes + 3) / 4);
    allocation.constant_in.resize(allocation.stored_in.size());
  }
  const u32 launch = warp.block->launch;
  for (u64 word = offset / 4; word <= (offset + kind.bytes - 1) / 4; ++word) {
    (kind.store ? allocation.stored_in : allocation.constant_in)[word] = launch;
    if (allocation.stored_in[word] == launch && allocation.constant_in[word] == launch) {
      report(warp, i, lane, Fault::Kind::kNotConstant, fmt::format("byte {} of an allocation of {} bytes", 4 * word, allocation.bytes),
             "__ldg and const __restrict__ promise that nobody writes there while the kernel runs");
      return;
    }
  }
}

Access access_of(u32 lane, u64 address, const AccessKind& kind, const u8* now) {
  return {address,     kind.bytes,      lane, kind.store,
          kind.strong, kind.whole_warp, now,  kind.fresh ? kind.fresh + size_t{lane} * kMostBytes : nullptr};
}

void watch_global(const Instruction& i, Warp& warp, const Addresses& addresses, u32 mask, const AccessKind& kind) {
  Block& block = *warp.block;
  const Detectors& detect = block.options->detect;
  each_lane(mask, [&](u32 l) {
    Allocation& allocation = *find(i, warp, l, addresses[l], kind).allocation;
    const u64 offset = addresses[l] - allocation.begin;
    if (detect.unwritten)
      watch_written(i, warp, l, allocation.written, offset, kind, fmt::format("an allocation of {} bytes", allocation.bytes));
    if (detect.constant && (kind.store || kind.constant)) watch_constant(i, warp, l, allocation, offset, kind);
    if (block.races) block.races->global(warp, i, allocation, access_of(l, addresses[l], kind, reinterpret_cast<u8*>(addresses[l])));
  });
}

Pointers reach_global(const Instruction& i, Warp& warp, const Addresses& addresses, u32 mask, const AccessKind& kind, bool constant_space) {
  Block& block = *warp.block;
  const Range range = range_of(addresses, mask);
  if (range.odd & (kind.bytes - 1)) check_alignment(i, warp, addresses, mask, kind.bytes, constant_space ? "constant" : "global");
  const Found& found = block.found[i.cache];
  if (range.low < found.begin || range.high + kind.bytes > found.end) {
    each_lane(mask, [&](u32 l) {
      const Found& here = find(i, warp, l, addresses[l], kind);
      if (kind.store && here.allocation->read_only)
        fail(warp, i, l, Fault::Kind::kReadOnly, fmt::format("it stores to {}", here.allocation->name));
    });
  }
  const Detectors& detect = block.options->detect;
  if (detect.unwritten || detect.constant || block.races) watch_global(i, warp, addresses, mask, kind);
  if (block.options->counts) count_global(block, i, addresses.data(), kind.bytes, mask);
  Pointers pointers;
  for (u32 l = 0; l < kLanes; ++l) pointers[l] = reinterpret_cast<u8*>(addresses[l]);
  return pointers;
}

Pointers reach_shared(const Instruction& i, Warp& warp, const Addresses& addresses, u32 mask, const AccessKind& kind) {
  Block& block = *warp.block;
  const Range range = range_of(addresses, mask);
  if (range.odd & (kind.bytes - 1)) check_alignment(i, warp, addresses, mask, kind.bytes, "shared");
  if (range.high + kind.bytes > block.shared_bytes) {
    each_lane(mask, [&](u32 l) {
      if (addresses[l] + kind.bytes <= block.shared_bytes) return;
      fail(warp, i, l, Fault::Kind::kOutside,
           fmt::format("it {} {} bytes at byte {} of {} bytes of shared memory", kind.store ? "stores" : "reads", kind.bytes, addresses[l],
                       block.shared_bytes));
    });
  }
  if (!block.shared_written.empty())
    each_lane(mask, [&](u32 l) { watch_written(i, warp, l, block.shared_written, addresses[l], kind, "shared memory"); });
  if (block.races)
    each_lane(mask, [&](u32 l) { block.races->shared(warp, i, access_of(l, addresses[l], kind, block.shared + addresses[l])); });
  if (block.options->counts) {
    u32 narrow[kLanes];
    for (u32 l = 0; l < kLanes; ++l) narrow[l] = static_cast<u32>(addresses[l]);
    count_shared(block, i, narrow, kind.bytes, mask);
  }
  Pointers pointers;
  for (u32 l = 0; l < kLanes; ++l) pointers[l] = block.shared + (mask >> l & 1u ? addresses[l] : 0);
  return pointers;
}

Pointers reach_local(const Instruction& i, Warp& warp, const Addresses& addresses, u32 mask, const AccessKind& kind) {
  Block& block = *warp.block;
  Pointers pointers{};
  check_alignment(i, warp, addresses, mask, kind.bytes, "local");
  each_lane(mask, [&](u32 l) {
    if (addresses[l] + kind.bytes > block.local_bytes) {
      fail(warp, i, l, Fault::Kind::kOutside,
           fmt::format("it {} {} bytes at byte {} of {} bytes of local memory", kind.store ? "stores" : "reads", kind.bytes, addresses[l],
                       block.local_bytes));
    }
    pointers[l] = block.local_of(warp, l) + addresses[l];
    watch_written(i, warp, l, block.local_written, static_cast<u64>(pointers[l] - block.local), kind, "local memory");
  });
  return pointers;
}

Pointers reach_parameters(const Instruction& i, Warp& warp, const Addresses& addresses, u32 mask, const AccessKind& kind) {
  const Block& block = *warp.block;
  Pointers pointers{};
  check_alignment(i, warp, addresses, mask, kind.bytes, "parameter");
  each_lane(mask, [&](u32 l) {
    if (kind.store) fail(warp, i, l, Fault::Kind::kReadOnly, "it stores to the parameters");
    if (addresses[l] + kind.bytes > block.parameter_bytes) {
      fail(warp, i, l, Fault::Kind::kOutside,
           fmt::format("it reads {} bytes at byte {} of {} bytes of parameters", kind.bytes, addresses[l], block.parameter_bytes));
    }
    pointers[l] = const_cast<u8*>(block.parameters) + addresses[l];  // it is only read, see above
  });
  return pointers;
}

}  // namespace

Pointers reach(const Instruction& i, Warp& warp, Space space, const Addresses& addresses, u32 mask, const AccessKind& kind) {
  switch (space) {
    case Space::kShared: return reach_shared(i, warp, addresses, mask, kind);
    case Space::kLocal: return reach_local(i, warp, addresses, mask, kind);
    case Space::kParam: return reach_parameters(i, warp, addresses, mask, kind);
    default: return reach_global(i, warp, addresses, mask, kind, space == Space::kConst);
  }
}

}  // namespace mirilla::ptx
