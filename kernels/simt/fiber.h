// SPDX-License-Identifier: MIT
#pragma once

#include <boost/context/fiber.hpp>
#include <cstddef>
#include <functional>

namespace mirilla::simt {

/// A stack of its own on which a function runs until it suspends itself. Made and resumed by one thread of the host only. The address
/// sanitizer is told of each switch.
class Fiber {
 public:
  /// Does not run `body` yet. `body` must return for the fiber to end, and must not throw.
  explicit Fiber(std::function<void()> body);
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  /// Runs `body` until it suspends itself or ends. Called from outside.
  void resume();
  /// Returns to the caller of resume(). Called from inside.
  void suspend();
  bool ended() const { return ended_; }

 private:
  boost::context::fiber run(boost::context::fiber outside);

  std::function<void()> body_;
  std::byte* stack_ = nullptr;
  boost::context::fiber context_;  // of the side that is not running: the fiber, or its resumer
  void* outside_fake_stack_ = nullptr;
  const void* outside_bottom_ = nullptr;
  size_t outside_size_ = 0;
  void* fake_stack_ = nullptr;
  bool ended_ = false;
};

}  // namespace mirilla::simt
