// SPDX-License-Identifier: MIT
#include "kernels/cuda/device.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <thread>

#include "kernels/devices.h"
#include "tests/kernels/cuda/support.h"

namespace mirilla::test {
namespace {

using testing::HasSubstr;

template <class F>
std::string error_of(F f) {
  try {
    f();
  } catch (const DeviceError& error) {
    return error.what();
  }
  return {};
}

TEST(CudaDevice, SaysWhatItIs) {
  Device& device = device_under_test();
  EXPECT_THAT(device.description(), HasSubstr(std::string(device.name()) + ": "));
  EXPECT_EQ(device.backend().name(), device.name());
  EXPECT_EQ(device.index(), 0);
  EXPECT_EQ(simt::unavailable(), "");
  EXPECT_THAT(error_of([] { simt::device(1); }), HasSubstr("the device 'simt:1' was asked for and the executor is one"));
  EXPECT_THAT(simt::version_line(), HasSubstr("simt: "));
  EXPECT_THAT(cuda::version_line(), HasSubstr("cuda: "));
}

TEST(CudaDevice, HasEveryFusedOperation) {
  const auto expect_had = []<class T>() { EXPECT_TRUE(device_under_test().backend().has<T>()) << T::kName; };
  [&]<class... T>(Operations<T...>) { (expect_had.template operator()<T>(), ...); }(OptionalOperations());
}

TEST(CudaDevice, CopiesThereAndBackAndWithin) {
  Device& device = device_under_test();
  std::vector<uint8_t> sent(1001), back(1001);
  for (size_t i = 0; i < sent.size(); ++i) sent[i] = static_cast<uint8_t>(i * 37);
  void* const a = device.allocate(sent.size());
  void* const b = device.allocate(sent.size());
  device.copy_from_host(a, sent.data(), sent.size());
  device.copy(b, a, sent.size());
  device.synchronize();
  device.copy_to_host(back.data(), b, back.size());
  device.release(a, sent.size());
  device.release(b, sent.size());
  EXPECT_EQ(back, sent);
}

TEST(CudaDevice, SaysHowMuchIsFreeOfMemoryOfItsOwn) {
  const size_t free = device_under_test().free_bytes();
  EXPECT_EQ(free > 0, !device_under_test().host_addressable());
}

// The engine's allocator gives out blocks of exactly the requested size where the device checks the memory beside them.
TEST(CudaDevice, IsExactAboutItsMemoryWhereItWatches) {
  Device& device = device_under_test();
  EXPECT_EQ(device.exact_blocks(), device.name() == "simt");
  EXPECT_EQ(device.host_addressable(), device.name() == "simt");
}

TEST(CudaDevice, RefusesDoublesBySayingWhereTheyExist) {
  Device& device = device_under_test();
  const DeviceTensor x(device, {{3}, {1, 2, 3}, DType::f64}, DType::f64), y(device, room({3}), DType::f64);
  const std::string message = error_of([&] { device.backend().run(op::Relu{x.const_view(), y.view()}); });
  EXPECT_THAT(message, HasSubstr(std::string(device.name()) + "' computes relu in f32, f16 and bf16 and got f64"));
  EXPECT_THAT(message, HasSubstr("on the device 'reference' only"));
  const DeviceTensor bytes(device, integers({3}, 1, 9), DType::f64);
  EXPECT_THAT(error_of([&] { device.backend().run(op::Relu{bytes.const_view(), y.view()}); }), HasSubstr("got i64\n  hint: cast it first"));
}

TEST(CudaDevice, IsRefusedWithASentenceWhereThereIsNone) {
  const std::string why = cuda::unavailable();
  if (why.empty()) return;  // there is one
  EXPECT_THAT(error_of([] { open_device("cuda"); }), HasSubstr("the device 'cuda' was asked for and " + why));
}

// Memory of the device with pinned memory beside it.
struct Place {
  explicit Place(size_t size) : bytes(size), there(device.allocate(size)), pinned(static_cast<uint8_t*>(device.allocate_pinned(size))) {}
  ~Place() {
    device.synchronize();
    device.release(there, bytes);
    device.release_pinned(pinned, bytes);
  }
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;
  int value() const {
    std::vector<uint8_t> came(bytes);
    device.copy_to_host(came.data(), there, bytes);
    for (const uint8_t byte : came)
      if (byte != came[0]) return -1;
    return came[0];
  }

  Device& device = device_under_test();
  size_t bytes;
  void* there;
  uint8_t* pinned;
};

TEST(CudaReplay, TakesNoWorkOfAnotherThreadWhileItRecords) {
  Device& device = device_under_test();
  if (device.name() != "simt") return;  // on a GPU the driver has its own rules
  Place place(64);
  std::string message;
  device.record([&] {
    std::thread other([&] { message = error_of([&] { device.copy_from_pinned(place.there, place.pinned, 64); }); });
    other.join();
  });
  EXPECT_THAT(message, HasSubstr("was given work while another thread records a replay on it"));
}

TEST(CudaReplay, DoesAStepAgainFromWhatIsInPinnedMemoryNow) {
  Device& device = device_under_test();
  ASSERT_TRUE(device.can_replay());
  Place in(64), out(64), middle(64);
  std::memset(in.pinned, 1, 64);
  const auto replay = device.record([&] {
    EXPECT_TRUE(device.recording());
    device.copy_from_pinned(in.there, in.pinned, 64);
    device.backend().run(op::Scale{{in.there, {16}, DType::f32}, 2, {middle.there, {16}, DType::f32}});
    device.copy_to_pinned(out.pinned, middle.there, 64);
  });
  EXPECT_EQ(replay->size(), 3u);
  for (const float value : {1.5f, -3.0f}) {
    std::fill_n(reinterpret_cast<float*>(in.pinned), 16, value);
    replay->run();
    device.mark()->wait();
    for (int i = 0; i < 16; ++i) EXPECT_EQ(reinterpret_cast<const float*>(out.pinned)[i], 2 * value);
  }
}

// On a GPU a graph would spend two nodes on allocating and freeing it.
TEST(CudaReplay, HasNoPiecesOfWorkForTheMemoryOfIntermediateResults) {
  Device& device = device_under_test();
  const DeviceTensor x(device, uniform({4096, 24}, 1), DType::f32), y(device, room({24}), DType::f32), z(device, room({24}), DType::f32);
  const auto sum_into = [&](const DeviceTensor& sums) { device.backend().run(op::SumRows{x.const_view(), sums.view()}); };
  const auto replay = device.record([&] {
    sum_into(y);
    sum_into(z);
  });
  EXPECT_EQ(replay->size(), 4u) << "two kernels each";
  for (int run = 0; run < 2; ++run) replay->run();
  const auto replayed = y.read();
  EXPECT_EQ(z.read(), replayed);
  sum_into(y);
  EXPECT_EQ(y.read(), replayed);
}

TEST(CudaReplay, RefusesWhatItCouldNotDoAgain) {
  Device& device = device_under_test();
  Place place(64);
  const auto nothing = device.record([] {});
  const auto arrived = device.send_ahead(place.there, place.pinned, 64, nullptr);
  char byte = 0;
  const std::vector<std::function<void()>> calls{[&] { device.synchronize(); },
                                                 [&] { device.copy_to_host(&byte, place.there, 1); },
                                                 [&] { device.copy_from_host(place.there, &byte, 1); },
                                                 [&] { device.mark(); },
                                                 [&] { device.send_ahead(place.there, place.pinned, 64, nullptr); },
                                                 [&] { device.follow(*arrived); },
                                                 [&] { nothing->run(); },
                                                 [&] { device.record([] {}); }};
  for (size_t i = 0; i < calls.size(); ++i) {
    EXPECT_THAT(error_of([&] { device.record(calls[i]); }), HasSubstr("records")) << "call " << i;
    EXPECT_FALSE(device.recording()) << "call " << i;
  }
  device.synchronize();  // and the stream works again
}

TEST(CudaStreams, SendAheadOnlyOnceTheMemoryIsFree) {
  Device& device = device_under_test();
  Place a(256), b(256);
  std::memset(a.pinned, 1, 256);
  device.copy_from_pinned(a.there, a.pinned, 256);
  device.mark()->wait();
  device.copy(b.there, a.there, 256);
  std::memset(a.pinned, 2, 256);
  const auto arrived = device.send_ahead(a.there, a.pinned, 256, nullptr);  // after the copy to b, without a mark
  device.copy(b.there, a.there, 0);
  arrived->wait();  // first: a send that did not wait for the main stream is now done before the copy to b
  EXPECT_EQ(b.value(), 1);
  EXPECT_TRUE(arrived->reached());
  EXPECT_EQ(a.value(), 2);
}

TEST(CudaStreams, SendAheadAfterAMarkOfTheMainStream) {
  Device& device = device_under_test();
  Place a(256), b(256);
  std::memset(a.pinned, 1, 256);
  device.copy_from_pinned(a.there, a.pinned, 256);
  device.copy(b.there, a.there, 256);
  const auto used_up = device.mark();
  used_up->wait();
  EXPECT_TRUE(used_up->reached());
  std::memset(a.pinned, 2, 256);
  const auto first = device.send_ahead(a.there, a.pinned, 256, used_up.get());
  first->wait();
  std::memset(a.pinned, 3, 256);
  const auto second = device.send_ahead(a.there, a.pinned, 256, first.get());  // a mark of the second stream is allowed
  device.follow(*second);
  EXPECT_EQ(a.value(), 3);
  EXPECT_EQ(b.value(), 1);
}

TEST(CudaStreams, AreBothWaitedForBySynchronize) {
  Device& device = device_under_test();
  Place a(256), b(256);
  std::memset(a.pinned, 5, 256);
  std::memset(b.pinned, 0, 256);
  const auto arrived = device.send_ahead(a.there, a.pinned, 256, nullptr);
  device.follow(*arrived);
  device.copy_to_pinned(b.pinned, a.there, 256);
  const auto ahead = device.send_ahead(b.there, a.pinned, 256, arrived.get());
  device.synchronize();
  EXPECT_TRUE(ahead->reached());
  EXPECT_EQ(b.pinned[0], 5);
}

TEST(CudaStreams, SettleMemoryThatARecordingFreesAndThatIsGone) {
  Device& device = device_under_test();
  Place a(256);
  std::memset(a.pinned, 4, 256);
  const auto arrived = device.send_ahead(a.there, a.pinned, 256, nullptr);
  device.record([&] { device.settle(a.there, 256); });  // at once: the recording cannot wait for it
  EXPECT_EQ(a.value(), 4);
  if (device.name() != "simt") return;  // below, memory is released during a send to it, which the executor detects
  void* const gone = device.allocate(256);
  const auto never = device.send_ahead(gone, a.pinned, 256, nullptr);
  device.release(gone, 256);
  device.settle(gone, 256);  // may not throw: a destructor calls it
  device.synchronize();
}

TEST(CudaRanges, CostNothingWhereNobodyLooks) {
  Device& device = device_under_test();
  device.push_range("a range");
  device.pop_range();
  if (device.name() == "simt") {
    EXPECT_FALSE(device.wants_ranges()) << "the executor has no timeline";
  }
}

// The engine gives memory out again in the order of the main stream; a pending send must not arrive after the next user.
TEST(CudaStreams, SettleMemoryBeforeSomebodyElseGetsIt) {
  Device& device = device_under_test();
  Place a(256), next(256);
  std::memset(a.pinned, 1, 256);
  std::memset(next.pinned, 2, 256);
  const auto arrived = device.send_ahead(a.there, a.pinned, 256, nullptr);
  device.settle(a.there, 256);  // the owner did not call follow
  device.copy_from_pinned(a.there, next.pinned, 256);
  device.mark()->wait();  // first: a main stream that did not wait for the send is now done before it
  arrived->wait();
  EXPECT_EQ(a.value(), 2) << "what was sent came after the next user's own";
}

TEST(CudaStreams, RefuseAnotherDevicesMark) {
  const auto foreign = open_device("cpu").mark();
  EXPECT_THAT(error_of([&] { device_under_test().follow(*foreign); }), HasSubstr("another device's mark"));
}

TEST(SimtStreams, ShowWhoForgotToFollow) {
  Device& device = open_device("simt");
  void* const there = device.allocate(64);
  auto* const pinned = static_cast<uint8_t*>(device.allocate_pinned(64));
  std::memset(pinned, 1, 64);
  const auto arrived = device.send_ahead(there, pinned, 64, nullptr);
  uint8_t byte = 0;
  device.copy_to_host(&byte, there, 1);
  EXPECT_EQ(byte, 0xFF) << "fresh memory: what is sent comes as late as it may";
  device.follow(*arrived);
  device.copy_to_host(&byte, there, 1);
  EXPECT_EQ(byte, 1);
  device.release(there, 64);
  device.release_pinned(pinned, 64);
}

TEST(SimtStreams, WantMemoryThatIsPinned) {
  Device& device = open_device("simt");
  void* const there = device.allocate(64);
  std::vector<uint8_t> plain(64);
  EXPECT_THAT(error_of([&] { device.copy_from_pinned(there, plain.data(), 64); }), HasSubstr("not lie inside pinned memory"));
  EXPECT_THAT(error_of([&] { device.copy_to_pinned(plain.data(), there, 64); }), HasSubstr("not lie inside pinned memory"));
  void* const pinned = device.allocate_pinned(64);
  EXPECT_THAT(error_of([&] { device.copy_from_pinned(there, pinned, 65); }), HasSubstr("a copy from pinned memory of 65 bytes"));
  EXPECT_THAT(error_of([&] { device.send_ahead(there, plain.data(), 64, nullptr)->wait(); }), HasSubstr("not lie inside pinned memory"));
  device.release_pinned(pinned, 64);
  device.release(there, 64);
}

}  // namespace
}  // namespace mirilla::test
