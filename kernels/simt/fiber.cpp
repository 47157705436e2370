// SPDX-License-Identifier: MIT
#include "kernels/simt/fiber.h"

#include <sys/mman.h>
#include <unistd.h>

#include <boost/context/preallocated.hpp>

#include "kernels/core/error.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

namespace mirilla::simt {

namespace {

#if defined(__SANITIZE_ADDRESS__)
constexpr size_t kStackBytes = 512 * 1024;  // the sanitizer's frames are several times larger
void start_switch(void** save, const void* bottom, size_t size) { __sanitizer_start_switch_fiber(save, bottom, size); }
void finish_switch(void* fake, const void** bottom, size_t* size) { __sanitizer_finish_switch_fiber(fake, bottom, size); }
#else
constexpr size_t kStackBytes = 128 * 1024;
void start_switch(void**, const void*, size_t) {}
void finish_switch(void*, const void**, size_t*) {}
#endif

size_t page_bytes() {
  static const auto bytes = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  return bytes;
}

// The stack is its own memory already, so there is nothing to give back when a context ends.
struct NoAllocator {
  boost::context::stack_context allocate() { return {}; }
  void deallocate(boost::context::stack_context&) {}
};

}  // namespace

Fiber::Fiber(std::function<void()> body) : body_(std::move(body)) {
  // A protected page lies below, so a kernel that overruns its stack stops there. Untouched pages cost nothing.
  void* const memory =
      mmap(nullptr, kStackBytes + page_bytes(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw DeviceError("the executor has no memory left for the stack of a CUDA thread");
  mprotect(memory, page_bytes(), PROT_NONE);
  stack_ = static_cast<std::byte*>(memory) + page_bytes();
  boost::context::stack_context context;
  context.size = kStackBytes;
  context.sp = stack_ + kStackBytes;
  context_ = boost::context::fiber(std::allocator_arg, boost::context::preallocated(context.sp, context.size, context), NoAllocator(),
                                   [this](boost::context::fiber&& outside) { return run(std::move(outside)); });
}

Fiber::~Fiber() {
  context_ = {};
  munmap(stack_ - page_bytes(), kStackBytes + page_bytes());
}

boost::context::fiber Fiber::run(boost::context::fiber outside) {
  context_ = std::move(outside);
  finish_switch(nullptr, &outside_bottom_, &outside_size_);
  body_();
  ended_ = true;
  start_switch(nullptr, outside_bottom_, outside_size_);
  return std::move(context_);
}

void Fiber::resume() {
  start_switch(&outside_fake_stack_, stack_, kStackBytes);
  context_ = std::move(context_).resume();
  finish_switch(outside_fake_stack_, nullptr, nullptr);
}

void Fiber::suspend() {
  start_switch(&fake_stack_, outside_bottom_, outside_size_);
  context_ = std::move(context_).resume();
  finish_switch(fake_stack_, &outside_bottom_, &outside_size_);
}

}  // namespace mirilla::simt
