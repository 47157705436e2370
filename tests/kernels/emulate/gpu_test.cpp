// SPDX-License-Identifier: MIT
// The GPU's side of the platform (kernels/cuda/platform/gpu*.cu) where CUDA says no. Each test is a process of its own: much of it is asked
// once and remembered.
#include "kernels/cuda/platform/gpu.h"

#include "kernels/core/error.h"
#include "kernels/cuda/device.h"
#include "tests/kernels/emulate/support.h"

#include <cstdlib>
#include <memory>
#include <thread>

namespace mirilla::emulate {
namespace {

using cuda::Event;
using cuda::Replay;
using cuda::Scratch;
using cuda::Stream;
using testing::HasSubstr;
using testing::Not;
using Variables = std::vector<std::pair<const char*, const char*>>;

/// Runs f in a new process that has these variables.
void alone(const Variables& variables, const std::function<void()>& f) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto in_child = [&] {
    for (const auto& [name, value] : variables) setenv(name, value, 1);
    f();
    std::exit(testing::Test::HasFailure() ? 1 : 0);  // not _exit: at the end the lines that ran are written
  };
  EXPECT_EXIT(in_child(), testing::ExitedWithCode(0), "");
}
void failing(const char* faults, const std::function<void()>& f) { alone({{"MIRILLA_EMULATE_FAIL", faults}}, f); }

std::string message_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing was thrown";
}

/// add and store of support.h, launched as the kernels are.
class Kernels {
 public:
  void launch(Stream& stream, void* x, unsigned n, dim3 grid = 1, size_t shared_bytes = 0) {
    void* arguments[] = {&x, &n};
    cuda::detail::launch(stream, {grid, dim3(kThreads), shared_bytes}, store_, "store<unsigned>", arguments);
  }
  const void* store() const { return store_; }

 private:
  Registered module_{{{90, text_of_kernels()}}};
  const void* store_ = module_.kernel("store");
};

unsigned word_at(Stream& stream, const void* address) {
  unsigned word = 0;
  stream.copy_to_host(&word, address, 4);
  return word;
}

TEST(GpuErrors, NameTheCallItsPurposeAndItsPlace) {
  failing("cudaMalloc:1:unknown", [] {
    const std::string text = message_of([] { cuda::allocate(4); });
    EXPECT_THAT(text, HasSubstr("cudaMalloc, which was to get memory (kernels/cuda/platform/gpu_memory.cu:"));
    EXPECT_THAT(text, HasSubstr("), failed: unknown error (cudaErrorUnknown)"));
    EXPECT_THAT(text, Not(HasSubstr("hint")));
    EXPECT_NO_THROW(cuda::release(cuda::allocate(4)));
  });
}

TEST(GpuErrors, OfDestructorsAreThrownByTheNextWaitOnce) {
  failing("cudaFree:1:unknown,cudaFree:2:invalidvalue,cudaFreeHost:1:unknown", [] {
    Stream stream;
    for (int k = 0; k < 2; ++k) cuda::release(cuda::allocate(4));
    cuda::release_pinned(cuda::allocate_pinned(4));
    EXPECT_THAT(message_of([&] { stream.synchronize(); }), HasSubstr("cudaFree, which was to give memory back, failed: unknown error"));
    EXPECT_NO_THROW(stream.synchronize());
  });
}

TEST(GpuErrors, OfAKernelBlameAnEarlierOne) {
  alone({}, [] {
    Kernels kernels;
    Stream stream;
    void* const x = cuda::allocate(kThreads * 4);
    cuda::release(x);
    kernels.launch(stream, x, 1);
    const std::string text = message_of([&] { stream.synchronize(); });
    EXPECT_THAT(text, HasSubstr("cudaStreamSynchronize, which was to wait for the GPU, failed: an illegal memory access was encountered"));
    EXPECT_THAT(text, HasSubstr("hint: a kernel started earlier is at fault: MIRILLA_CUDA_SYNC=1"));
    EXPECT_THAT(message_of([&] { kernels.launch(stream, x, 1); }), HasSubstr("store<unsigned>: CUDA refused a grid of (1,1,1) blocks"));
  });
}

TEST(GpuErrors, OfAKernelNameItWhereEachLaunchIsWaitedFor) {
  alone({{"MIRILLA_CUDA_SYNC", "1"}}, [] {
    Kernels kernels;
    Stream stream;
    void* const x = cuda::allocate(kThreads * 4);
    kernels.launch(stream, x, 1);
    EXPECT_NO_THROW(cuda::detail::library_called(stream, "wait for a library"));
    const Replay replay = Replay::record(stream, [&] { kernels.launch(stream, x, 7); });
    replay.run(stream);
    EXPECT_EQ(*static_cast<const unsigned*>(x), 7u) << "it was waited for";
    cuda::release(x);
    EXPECT_THAT(message_of([&] { kernels.launch(stream, x, 1); }),
                HasSubstr("store<unsigned>: failed in a grid of (1,1,1) blocks of (256,1,1) threads: an illegal memory access"));
    EXPECT_THAT(message_of([&] { cuda::detail::library_called(stream, "wait for a library"); }), HasSubstr("wait for a library"));
  });
}

TEST(GpuErrors, OfALaunchThatCannotBe) {
  alone({}, [] {
    Kernels kernels;
    Stream stream;
    void* const x = cuda::allocate(kThreads * 4);
    EXPECT_THAT(message_of([&] { kernels.launch(stream, x, 1, dim3(0)); }),
                HasSubstr("store<unsigned>: CUDA refused a grid of (0,1,1) blocks of (256,1,1) threads with 0 bytes of shared memory"));
    EXPECT_THAT(message_of([&] { cuda::detail::allow_shared_bytes(kernels.store(), "store<unsigned>", 1 << 20); }),
                HasSubstr("store<unsigned>: 1048576 bytes of dynamic shared memory were asked for and a block here has 232448"));
    EXPECT_NO_THROW(cuda::detail::allow_shared_bytes(kernels.store(), "store<unsigned>", 100 << 10));
    EXPECT_NO_THROW(kernels.launch(stream, x, 1, 1, 100 << 10));
  });
}

TEST(GpuErrors, OfTheChoiceOfAGpu) {
  failing("cudaSetDevice:1:unknown", [] {
    EXPECT_THAT(message_of([] { cuda::choose(0); }), HasSubstr("cudaSetDevice, which was to turn to another GPU"));
    EXPECT_EQ(cuda::chosen(), 0);
    EXPECT_NO_THROW(cuda::choose(0));
  });
}

// Streams and events.

TEST(GpuStreams, CopyInAllDirections) {
  alone({}, [] {
    Stream stream;
    auto* const pinned = static_cast<unsigned*>(cuda::allocate_pinned(8));
    void* const x = cuda::allocate(8);
    void* const y = cuda::allocate(8);
    pinned[0] = 3;
    stream.copy_from_host(x, pinned, 4);  // CUDA reads pinned memory later, so it is waited for
    pinned[0] = 4;
    EXPECT_EQ(word_at(stream, x), 3u);
    stream.copy_from_pinned(x, pinned, 4);
    stream.copy(y, x, 4);
    stream.copy_to_pinned(pinned + 1, y, 4);
    stream.synchronize();
    EXPECT_EQ(pinned[1], 4u);
    stream.fill_bytes(y, 0x11, 4);
    EXPECT_EQ(word_at(stream, y), 0x11111111u);
    stream.copy_from_host(x, nullptr, 0);
    stream.copy_from_pinned(x, nullptr, 0);
    stream.copy(x, nullptr, 0);
    EXPECT_GT(cuda::free_bytes(), 0u);
    cuda::release_pinned(pinned);
    cuda::release(x);
    cuda::release(x);  // not held any more
  });
}

TEST(GpuEvents, OrderStreamsAndTellWhenTheyAreDone) {
  alone({}, [] {
    Kernels kernels;
    Stream first, second;
    void* const x = cuda::allocate(kThreads * 4);
    kernels.launch(first, x, 5);
    Event event, later;
    event.record(first);
    EXPECT_FALSE(event.done());
    second.wait_for(event);
    EXPECT_EQ(word_at(second, x), 5u);
    EXPECT_TRUE(event.done());
    later.record(first);
    later.synchronize();
    EXPECT_GE(Event::milliseconds_between(event, later), 0);
    const Event untimed(Event::Timed::no);
    EXPECT_THAT(message_of([&] { Event::milliseconds_between(untimed, later); }), HasSubstr("tell the time between two events"));
  });
}

TEST(GpuEvents, SayThatTheyFailed) {
  failing("cudaEventQuery:1:unknown", [] {
    Stream stream;
    Event event(Event::Timed::no);
    event.record(stream);
    EXPECT_THAT(message_of([&] { event.done(); }), HasSubstr("cudaEventQuery, which was to look at an event"));
  });
}

TEST(GpuRanges, AreWantedByAVariable) {
  alone({{"MIRILLA_NVTX", "1"}}, [] {
    EXPECT_TRUE(cuda::ranges_wanted());
    cuda::push_range("a range");
    cuda::pop_range();
  });
  EXPECT_FALSE(cuda::ranges_wanted());
}

// Replays.

TEST(GpuReplays, RefuseWhatCannotBeDoneAgain) {
  alone({}, [] {
    Stream stream;
    void* const x = cuda::allocate(4);
    Event event(Event::Timed::no);
    const Replay nothing;
    nothing.run(stream);
    unsigned word = 0;
    const std::vector<std::function<void()>> calls{[&] { stream.copy_from_host(x, &word, 4); },
                                                   [&] { stream.copy_to_host(&word, x, 4); },
                                                   [&] { stream.synchronize(); },
                                                   [&] { stream.wait_for(event); },
                                                   [&] { nothing.run(stream); },
                                                   [&] { Replay::record(stream, [] {}); }};
    for (const auto& call : calls) {
      EXPECT_THAT(message_of([&] { Replay::record(stream, call); }), HasSubstr("records"));
      EXPECT_FALSE(stream.recording());
    }
    EXPECT_EQ(cuda::detail::recordings(), 0);
    stream.copy_from_host(x, &word, 4);  // the stream works again
  });
}

TEST(GpuReplays, RecordEventsThatAreSeenAtEachRun) {
  alone({}, [] {
    Kernels kernels;
    Stream stream, other;
    void* const x = cuda::allocate(kThreads * 4);
    Event event(Event::Timed::no);
    const Replay replay = Replay::record(stream, [&] {
      kernels.launch(stream, x, 6);
      event.record(stream);
    });
    EXPECT_EQ(replay.size(), 2u);
    replay.run(stream);
    other.wait_for(event);
    EXPECT_EQ(word_at(other, x), 6u);
  });
}

TEST(GpuReplays, SayThatTheRecordingWasBroken) {
  alone({}, [] {
    Stream stream;
    EXPECT_THAT(message_of([&] { Replay::record(stream, [&] { cudaStreamSynchronize(stream.native()); }); }),
                HasSubstr("cudaStreamEndCapture, which was to end the recording of a replay"));
    stream.synchronize();
  });
}

// The call that breaks it may be one that must not throw. Steps go on eagerly, so nothing may be left for their next wait.
TEST(GpuReplays, LeaveNoErrorBehindWhereADestructorBreaksThem) {
  alone({{"MIRILLA_EMULATE_MISTAKE", "wait:cudaEventDestroy:1"}}, [] {
    Stream stream;
    EXPECT_THAT(message_of([&] { Replay::record(stream, [] { const Event event; }); }),
                HasSubstr("cudaStreamEndCapture, which was to end the recording of a replay"));
    EXPECT_NO_THROW(stream.synchronize());
    { const Event event; }
    EXPECT_NO_THROW(stream.synchronize());
  });
}

TEST(GpuReplays, GiveUpARecordingWhoseEndFailed) {
  failing("cudaStreamEndCapture:1:unknown", [] {
    Stream stream;
    EXPECT_THAT(message_of([&] { Replay::record(stream, [] {}); }), HasSubstr("unknown error"));
    EXPECT_NO_THROW(Replay::record(stream, [] {}).run(stream));
  });
}

TEST(GpuReplays, FreeWhatScratchKeptWhereMemoryRunsOut) {
  failing("cudaGraphLaunch:1:outofmemory,cudaGraphLaunch:3:outofmemory,cudaGraphLaunch:4:outofmemory", [] {
    Kernels kernels;
    Stream stream;
    const Replay replay = Replay::record(stream, [&] {
      const Scratch scratch(stream, kThreads * 4);
      kernels.launch(stream, scratch.as<void>(), 1);
    });
    EXPECT_NO_THROW(replay.run(stream));
    EXPECT_THAT(message_of([&] { replay.run(stream); }), HasSubstr("has not enough memory left"));
    EXPECT_NO_THROW(replay.run(stream));
    stream.synchronize();
  });
}

// As much as the eager work held at one time, in one block; more brings another. What is given back is there for the next.
TEST(GpuReplays, OwnTheMemoryThatScratchHadInThem) {
  for (const bool eager_first : {true, false})
    alone({}, [eager_first] {
      Kernels kernels;
      Stream stream;
      void* const sum = cuda::allocate(kThreads * 4);
      std::vector<char*> pieces;
      const auto work = [&] {
        pieces.clear();
        const Scratch first(stream, kThreads * 4 + 100);
        for (int k = 0; k < 2; ++k) {
          const Scratch second(stream, kThreads * 4);
          pieces.push_back(second.as<char>());
          kernels.launch(stream, second.as<void>(), 1);
        }
        pieces.push_back(first.as<char>());
        kernels.launch(stream, first.as<void>(), 5);
        stream.copy(sum, first.as<void>(), kThreads * 4);
      };
      if (eager_first) work();
      const Replay replay = Replay::record(stream, work);
      EXPECT_EQ(replay.size(), 4u) << "three kernels and a copy, and nothing for memory";
      EXPECT_EQ(pieces[0], pieces[1]);
      EXPECT_EQ(pieces[0] == pieces[2] + kThreads * 4 + 256, eager_first);
      const Scratch beside(stream, kThreads * 4);  // outside the recording, and so elsewhere
      EXPECT_NE(beside.as<char>(), pieces[2]);
      for (int run = 0; run < 2; ++run) replay.run(stream);
      EXPECT_EQ(word_at(stream, sum), 5u);
      cuda::release(sum);
    });
}

TEST(GpuReplays, TakeTheFirstGapThatIsLargeEnoughForScratch) {
  alone({}, [] {
    cuda::ScratchArena arena(1024);
    EXPECT_EQ(arena.blocks(), 1u);
    auto* const a = static_cast<char*>(arena.take(100));
    auto* const b = static_cast<char*>(arena.take(300));
    EXPECT_EQ(b, a + 256);
    auto* const c = static_cast<char*>(arena.take(600));
    EXPECT_EQ(arena.blocks(), 2u) << "256 bytes were left";
    arena.give(a);
    EXPECT_EQ(arena.take(256), a);
    EXPECT_EQ(arena.take(1), a + 768) << "behind what is taken";
    EXPECT_NE(arena.take(257), a + 768);
    EXPECT_EQ(arena.blocks(), 3u);
    arena.give(c);
    EXPECT_EQ(arena.take(768), c);
    EXPECT_EQ(cuda::ScratchArena(0).blocks(), 0u);
  });
}

TEST(GpuReplays, ReportTheEndOfAGraphAtTheNextWait) {
  failing("cudaGraphExecDestroy:1:unknown,cudaGraphDestroy:2:unknown", [] {
    Stream stream;
    Replay::record(stream, [] {});
    EXPECT_THAT(message_of([&] { stream.synchronize(); }), HasSubstr("cudaGraphExecDestroy, which was to end a replay"));
    Replay::record(stream, [] {});
    EXPECT_THAT(message_of([&] { stream.synchronize(); }), HasSubstr("cudaGraphDestroy, which was to end a recording"));
  });
}

// Memory.

TEST(GpuMemory, IsAskedForAgainOnceScratchGaveItsOwnBack) {
  alone({{"MIRILLA_EMULATE_MEMORY", "1M"}}, [] {
    Stream stream;
    { const Scratch scratch(stream, 900 << 10); }  // the pool keeps it
    stream.synchronize();
    void* x = nullptr;
    EXPECT_NO_THROW(x = cuda::allocate(800 << 10));
    const std::string text = message_of([] { cuda::allocate(800 << 10); });
    EXPECT_THAT(text, HasSubstr("819200 bytes"));
    EXPECT_THAT(message_of([&] { Scratch(stream, 800 << 10); }), HasSubstr("819200 bytes"));
    cuda::release(x);
  });
}

TEST(GpuMemory, IsNotWaitedForWhileAReplayRecords) {
  failing("cudaMalloc:2:outofmemory", [] {  // the first is for the counters of the replay
    Stream stream;
    EXPECT_THAT(message_of([&] { Replay::record(stream, [] { cuda::allocate(4); }); }), HasSubstr("4 bytes"));
    EXPECT_NO_THROW(stream.synchronize());
  });
}

TEST(GpuMemory, ThatIsPinnedMayRunOut) {
  failing("cudaHostAlloc:1:outofmemory,cudaHostAlloc:2:unknown", [] {
    EXPECT_THAT(message_of([] { cuda::allocate_pinned(5); }), HasSubstr("the host has no 5 bytes left that it could pin"));
    EXPECT_THAT(message_of([] { cuda::allocate_pinned(5); }), HasSubstr("cudaHostAlloc, which was to get pinned memory"));
  });
}

// Which GPUs there are.

TEST(GpuFacts, AreThoseOfTheCard) {
  alone({{"CUDA_VISIBLE_DEVICES", "0,1"}, {"MIRILLA_EMULATE_GPUS", "2"}, {"MIRILLA_EMULATE", "h100"}}, [] {
    EXPECT_EQ(cuda::unavailable(1), "");
    EXPECT_EQ(cuda::facts(1).compute_capability, 90);
    EXPECT_THAT(cuda::describe_device(1), HasSubstr("cuda:1: NVIDIA H100"));
    EXPECT_THAT(cuda::unavailable(2), HasSubstr("there are 2 GPUs, cuda:0 to cuda:1 (CUDA_VISIBLE_DEVICES is '0,1')"));
    EXPECT_EQ(cuda::facts(2).name, "no GPU");
    std::thread([] { cuda::choose(1); }).join();
    cuda::choose(1);
    EXPECT_EQ(cuda::facts().name, cuda::facts(1).name);
  });
}

TEST(GpuFacts, SayWhyThereIsNone) {
  failing("cudaDriverGetVersion:1:unknown", [] { EXPECT_EQ(cuda::unavailable(0), "this machine has no NVIDIA driver"); });
}

TEST(GpuFacts, SayWhatTheDriverSays) {
  failing("cudaGetDeviceCount:1:unknown", [] {
    EXPECT_THAT(cuda::unavailable(0), HasSubstr("says: unknown error"));
    EXPECT_THAT(cuda::version_line(), HasSubstr("no device: the NVIDIA driver"));
  });
}

TEST(GpuFacts, SayThatTheDriverFindsNone) {
  failing("cudaGetDeviceCount:1:nodevice", [] { EXPECT_EQ(cuda::unavailable(0), "the NVIDIA driver finds no GPU"); });
}

TEST(GpuFacts, SayThatAGpuDoesNotTellWhatItIs) {
  failing("cudaDeviceGetAttribute:1:unknown", [] {
    EXPECT_THAT(cuda::unavailable(0), HasSubstr("does not say what that GPU is: unknown error"));
    EXPECT_EQ(cuda::facts(0).name, "no GPU");
  });
}

}  // namespace
}  // namespace mirilla::emulate
