// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <initializer_list>
#include <limits>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "kernels/core/half.h"
#include "kernels/cuda/platform/facts.h"
#include "kernels/cuda/platform/kernel_name.h"
#include "kernels/simt/executor.h"
#include "kernels/simt/half_arithmetic.h"
#include "kernels/simt/language.h"
#include "kernels/simt/memory.h"

/// The host's side of the platform: every call is finished when it returns, so streams and events only keep the given order, and a
/// replay is a list of calls. A second stream, which on a GPU runs beside the first, does its work at the last allowed
/// moment: code that forgets to wait always reads the old contents.
namespace mirilla::simt {

inline constexpr std::string_view kDeviceName = "simt";
inline constexpr bool kGpu = false;

/// Those of the executor; within a FactsScope, those of another GPU, for which launchers then choose their grids.
const DeviceFacts& facts();
class FactsScope {
 public:
  explicit FactsScope(const DeviceFacts& facts);
  ~FactsScope();
  FactsScope(const FactsScope&) = delete;
  FactsScope& operator=(const FactsScope&) = delete;

 private:
  const DeviceFacts* outer_;
};
/// Empty, or why the device cannot be used.
std::string unavailable(int index);
/// One line for the user.
std::string describe_device(int index);

/// Selects the GPU for this thread's calls. Here there is one.
inline void choose(int) {}

inline void* allocate(size_t bytes) { return allocate_guarded(bytes); }
inline void release(void* address) noexcept { release_guarded(address); }
inline size_t free_bytes() { return 0; }

/// Pinned memory; copies that need it check that they got it.
void* allocate_pinned(size_t bytes);
void release_pinned(void* address) noexcept;

/// There is no timeline to show ranges on.
inline bool ranges_wanted() { return false; }
inline void push_range(std::string_view) {}
inline void pop_range() {}

struct LaunchShape {
  dim3 grid, block;
  size_t shared_bytes = 0;
  bool together = false;         // all blocks run at the same time and may wait for one another (raise_flag, wait_for_flag)
  int64_t read_again_bytes = 0;  // for the account of a step: what the launch reads of its tensors a second time
};

/// Told what a stream is given, in place of the executor that would run it (kernels/cuda/ledger). Addresses are numbers that nobody reads.
class Account {
 public:
  /// One argument of a kernel: a pointer to what it reads, a pointer to what it writes, or a value, which may contain pointers.
  struct Argument {
    enum class Kind { read, written, value } kind;
    const void* bytes;
    size_t size;
  };
  virtual ~Account() = default;
  virtual void launched(std::string_view kernel, const LaunchShape& shape, std::span<const Argument> arguments) = 0;
  virtual void copied(void* to, const void* from, size_t bytes) = 0;
  virtual void filled(void* to, size_t bytes) = 0;
  virtual void* take_scratch(size_t bytes) = 0;
  virtual void give_scratch(void* address) noexcept = 0;
};

class Event;

inline constexpr unsigned kCounters = 4096;
using Counters = std::shared_ptr<unsigned>;

/// Work in order. While a replay records, work is recorded and not run. Several threads may give a stream work, each in an order of
/// its own; throws DeviceError where another thread records.
class Stream {
 public:
  enum class Pace {
    at_once,         // each call is done when it returns
    when_waited_for  // not before an Event or synchronize() needs it: the second stream
  };
  explicit Stream(int index = 0, Pace pace = Pace::at_once) : pace_(pace) { static_cast<void>(index); }
  /// A stream that runs nothing: launchers tell the account what a GPU would be given.
  explicit Stream(Account& account) : pace_(Pace::at_once), account_(&account) {}
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  void copy_from_host(void* to, const void* from, size_t bytes);
  void copy_to_host(void* to, const void* from, size_t bytes);
  void copy_from_pinned(void* to, const void* pinned, size_t bytes);
  void copy_to_pinned(void* pinned, const void* from, size_t bytes);
  void copy(void* to, const void* from, size_t bytes);
  void fill_bytes(void* to, int value, size_t bytes);
  void synchronize();
  void submit(std::function<void()> work);
  /// Work submitted from now on runs after the event.
  void wait_for(const Event& event);
  bool recording() const { return recording_ != nullptr; }
  /// kCounters counters, 0 whenever no kernel of this stream runs: a kernel that counts leaves them at 0. While a replay records they are
  /// the replay's own, which may run beside this stream's other work.
  unsigned* counters();
  /// Null for a stream that runs its work.
  Account* account() const { return account_; }

 private:
  friend class Event;
  friend class Replay;
  friend class Scratch;
  void advance(uint64_t until);
  bool recording_here() const { return recording() && recorder_ == std::this_thread::get_id(); }

  Pace pace_;
  Account* account_ = nullptr;
  mutable std::recursive_mutex mutex_;  // guards the members below; held while waiting work runs
  std::deque<std::function<void()>> waiting_;
  uint64_t submitted_ = 0, done_ = 0;  // pieces of work
  std::atomic<std::vector<std::function<void()>>*> recording_ = nullptr;
  std::thread::id recorder_;
  Counters counters_, recorded_counters_;
};

/// A position in a stream; the stream must outlive it.
class Event {
 public:
  enum class Timed : bool { no, yes };
  explicit Event(Timed = Timed::yes) {}

  void record(Stream& stream);
  void synchronize() const;
  bool done() const;
  static double milliseconds_between(const Event& start, const Event& end);

 private:
  friend class Stream;
  double seconds_ = 0;
  Stream* stream_ = nullptr;
  uint64_t place_ = 0;
};

/// Recorded work of a stream, to be run again with the same addresses.
class Replay {
 public:
  /// Records the work that f puts on the stream, without running it. Meanwhile, waiting is an error, and so is running a replay.
  static Replay record(Stream& stream, const std::function<void()>& f);
  void run(Stream& stream) const;
  size_t size() const { return work_.size(); }

 private:
  Counters counters_;
  std::vector<std::function<void()>> work_;
};

/// Memory for a launcher's intermediate results; the next user of the memory comes later in the stream. A replay that records it keeps it.
class Scratch {
 public:
  Scratch(Stream& stream, size_t bytes);
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  template <class T>
  T* as() const {
    return static_cast<T*>(address_);
  }

 private:
  Stream& stream_;
  void* address_;
};

namespace detail {
/// Throws DeviceError where the device of facts() could not run all blocks at the same time.
void check_resident(std::string_view kernel, const LaunchShape& shape);

template <auto Kernel>
std::string_view kernel_name() {
  static const std::string_view name = kernel_in(__PRETTY_FUNCTION__);
  return name;
}

template <class P>
Account::Argument argument_of(const P& value) {
  using Kind = Account::Argument::Kind;
  constexpr bool kReads = std::is_pointer_v<P> && std::is_const_v<std::remove_pointer_t<P>>;
  return {kReads ? Kind::read : std::is_pointer_v<P> ? Kind::written : Kind::value, &value, sizeof value};
}

template <auto Kernel>
struct Launch;
template <class... P, void (*Kernel)(P...)>
struct Launch<Kernel> {
  static void on(Stream& stream, const LaunchShape& shape, P... args) {
    if (stream.account()) return stream.account()->launched(kernel_name<Kernel>(), shape, std::initializer_list{argument_of(args)...});
    if (shape.together) check_resident(kernel_name<Kernel>(), shape);
    stream.submit([shape, args...] {
      run_grid({.kernel = kernel_name<Kernel>(),
                .grid = shape.grid,
                .block = shape.block,
                .shared_bytes = shape.shared_bytes,
                .together = shape.together,
                .thread = [&] { Kernel(args...); }});
    });
  }
};
}  // namespace detail

/// The most blocks that can run together; facts() says what a GPU would allow. The executor allows fewer.
inline int64_t most_together(const Stream& stream) { return stream.account() ? std::numeric_limits<int64_t>::max() : kMostTogether; }

/// Starts a kernel. Throws DeviceError naming it where the launch is not possible, or, on the executor, where one of its threads failed.
template <auto Kernel, class... Args>
void launch(Stream& stream, const LaunchShape& shape, Args&&... args) {
  detail::Launch<Kernel>::on(stream, shape, std::forward<Args>(args)...);
}

template <class T>
T* dynamic_shared() {
  return static_cast<T*>(dynamic_shared_memory());
}

inline float widen(float x) { return x; }
inline float widen(Half x) { return half_to_float(x); }
inline float widen(BFloat16 x) { return static_cast<float>(x); }
template <class T>
T narrow(float x) {
  return T(x);
}

/// Checks that the address is aligned for a vector access.
template <class T>
const T* assume_aligned(const T* address) {
  check_aligned(address, alignof(T));
  return address;
}
template <class T>
T* assume_aligned(T* address) {
  check_aligned(address, alignof(T));
  return address;
}

}  // namespace mirilla::simt
