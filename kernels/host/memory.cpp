// SPDX-License-Identifier: MIT
#include "kernels/host/memory.h"

#include <sys/mman.h>

#include <new>

namespace mirilla {

namespace {

constexpr size_t kLargePage = size_t{2} << 20;

bool is_large(size_t bytes) { return bytes >= 2 * kLargePage; }

std::align_val_t alignment_of(size_t bytes) { return std::align_val_t{is_large(bytes) ? kLargePage : size_t{64}}; }

}  // namespace

void* allocate_host(size_t bytes) noexcept {
  void* const address = ::operator new(bytes, alignment_of(bytes), std::nothrow);
  // Whole pages only: a partial page at the end would take more memory than was asked for. A refusal changes only the speed.
  if (address != nullptr && is_large(bytes)) static_cast<void>(madvise(address, bytes / kLargePage * kLargePage, MADV_HUGEPAGE));
  return address;
}

void release_host(void* address, size_t bytes) noexcept { ::operator delete(address, alignment_of(bytes)); }

}  // namespace mirilla
