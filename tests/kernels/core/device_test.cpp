// SPDX-License-Identifier: MIT
#include "kernels/devices.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <vector>

#include "kernels/core/backend.h"
#include "kernels/host/threads.h"
#include "tests/kernels/buffer.h"

// The address sanitizer ends a program that asks for too much, where the plain allocator fails, which is tested below.
extern "C" const char* __asan_default_options();
extern "C" const char* __asan_default_options() { return "allocator_may_return_null=1"; }

namespace mirilla {
namespace {

// One suite, run for every device of this machine.
class EveryDevice : public ::testing::TestWithParam<std::string> {
 protected:
  Device& device_ = open_device(GetParam());
};

TEST_P(EveryDevice, IsTheSameObjectEachTimeUnderItsName) {
  EXPECT_EQ(&open_device(GetParam()), &device_);
  EXPECT_EQ(device_.name(), GetParam());
  EXPECT_EQ(device_.backend().name(), GetParam());
}

TEST_P(EveryDevice, DescribesItselfInOneLineThatBeginsWithItsName) {
  const std::string line = device_.description();
  EXPECT_EQ(line.find(GetParam() + ": "), 0u) << line;
  EXPECT_EQ(line.find('\n'), std::string::npos) << line;
  EXPECT_GT(line.size(), GetParam().size() + 2);
}

TEST_P(EveryDevice, AlignsMemoryTo64Bytes) {
  for (const size_t bytes : {size_t{1}, size_t{63}, size_t{64}, size_t{100'000}}) {
    void* const address = device_.allocate(bytes);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(address) % 64, 0u) << bytes;
    device_.release(address, bytes);
  }
}

TEST_P(EveryDevice, CopiesThereAroundAndBack) {
  std::vector<uint8_t> sent(10'007), came(sent.size());
  std::iota(sent.begin(), sent.end(), uint8_t{0});
  void* const first = device_.allocate(sent.size());
  void* const second = device_.allocate(sent.size());
  device_.copy_from_host(first, sent.data(), sent.size());
  device_.copy(second, first, sent.size());
  device_.synchronize();
  device_.copy_to_host(came.data(), second, came.size());
  EXPECT_EQ(came, sent);
  device_.copy(second, first, 0);
  device_.release(first, sent.size());
  device_.release(second, sent.size());
}

TEST_P(EveryDevice, LetsTheHostReadWhatItCallsAddressable) {
  if (!device_.host_addressable()) return;
  void* const address = device_.allocate(64);
  std::memset(address, 0x5a, 64);
  std::array<uint8_t, 64> came{};
  device_.copy_to_host(came.data(), address, came.size());
  EXPECT_TRUE(std::all_of(came.begin(), came.end(), [](uint8_t byte) { return byte == 0x5a; }));
  device_.release(address, 64);
}

TEST_P(EveryDevice, SaysWhatItCouldNotAllocate) {
  constexpr size_t kTooMuch = size_t{1} << 60;
  try {
    device_.allocate(kTooMuch);
    FAIL() << "an exabyte was given out";
  } catch (const DeviceError& error) {
    EXPECT_NE(error.message().find(std::to_string(kTooMuch)), std::string::npos) << error.what();
    EXPECT_NE(error.message().find(GetParam()), std::string::npos) << error.what();
  }
}

/// A call that the device may lack: an error that names both, where has() says so.
template <class T, class Call>
void expect_named_where_missing(Backend& backend, const Call& call) {
  if (backend.has<T>()) return;
  try {
    backend.run(call);
    ADD_FAILURE() << T::kName << " is said to be missing and did not throw";
  } catch (const DeviceError& error) {
    EXPECT_NE(error.message().find(backend.name()), std::string::npos) << error.what();
    EXPECT_NE(error.message().find(T::kName), std::string::npos) << error.what();
    EXPECT_FALSE(error.hint().empty());
  }
}

TEST_P(EveryDevice, HasTheCoreAndNamesItselfAndWhatItLacks) {
  Backend& backend = device_.backend();
  const auto expect_core = [&]<class T>() { EXPECT_TRUE(backend.has<T>()) << T::kName; };
  const auto expect_named = [&]<class T>() {
    if constexpr (Operation<T>) expect_named_where_missing<T>(backend, T{});
  };
  [&]<class... T>(Operations<T...>) { (expect_core.template operator()<T>(), ...); }(CoreOperations());
  [&]<class... T>(Operations<T...>) { (expect_named.template operator()<T>(), ...); }(OptionalOperations());
  Buffer<float> x(device_, {2, 2}), c(device_, {2}), y(device_, {2, 2});
  Buffer<uint8_t> mask(device_, {1});
  const op::BatchNormApply apply{.x = x, .mean = c, .inv_std = c, .weight = c, .bias = c, .y = y};
  const op::BatchNormBackward backward{.dy = x, .x = x, .mean = c, .inv_std = c, .weight = c, .dx = y};
  op::BatchNormApply relu = apply, residual = apply, masked = apply;
  relu.relu = true;
  residual.residual = x;
  masked.mask = mask;
  op::BatchNormBackward dresidual = backward, from_mask = backward, from_y = backward, two_parts = backward;
  dresidual.dresidual = x;
  from_mask.relu = from_y.relu = true;
  from_mask.mask = mask;
  from_y.y = y;
  two_parts.dy2 = x;
  expect_named_where_missing<op::BatchNormAddRelu>(backend, relu);
  expect_named_where_missing<op::BatchNormAddRelu>(backend, residual);
  expect_named_where_missing<op::BatchNormAddRelu>(backend, dresidual);
  expect_named_where_missing<op::BatchNormAddRelu>(backend, from_y);
  expect_named_where_missing<op::BatchNormGradientSum>(backend, two_parts);
  expect_named_where_missing<op::ReluMask>(backend, masked);
  if (backend.has<op::BatchNormAddRelu>()) expect_named_where_missing<op::ReluMask>(backend, from_mask);
}

TEST_P(EveryDevice, LeavesDoublesToTheReference) {
  Buffer<double> x(device_, {2}, {-1, 0.1}), y(device_, {2});
  if (GetParam() == "reference") {
    device_.backend().run(op::Relu{x, y});
    EXPECT_EQ(y.values(), (std::vector<double>{0, 0.1}));
  } else {
    EXPECT_THROW(device_.backend().run(op::Relu{x, y}), DeviceError);
  }
}

TEST_P(EveryDevice, RefusesToComputeInBytes) {
  Buffer<uint8_t> x(device_, {4}), y(device_, {4});
  try {
    device_.backend().run(op::Relu{x, y});
    FAIL() << "relu took u8";
  } catch (const DeviceError& error) {
    EXPECT_NE(error.message().find(GetParam()), std::string::npos) << error.what();
    EXPECT_NE(error.message().find("relu"), std::string::npos) << error.what();
    EXPECT_NE(error.message().find("u8"), std::string::npos) << error.what();
  }
}

// Device memory with its values, and pinned memory, for the tests below.
class Bytes {
 public:
  Bytes(Device& device, size_t size) : device_(device), size_(size), there_(device.allocate(size)), pinned_(device.allocate_pinned(size)) {}
  ~Bytes() {
    device_.synchronize();
    device_.release(there_, size_);
    device_.release_pinned(pinned_, size_);
  }
  Bytes(const Bytes&) = delete;
  Bytes& operator=(const Bytes&) = delete;

  void* there() const { return there_; }
  uint8_t* pinned() const { return static_cast<uint8_t*>(pinned_); }
  void fill_pinned(int value) { std::memset(pinned_, value, size_); }
  bool is(int value) {
    std::vector<uint8_t> came(size_);
    device_.copy_to_host(came.data(), there_, size_);
    return std::all_of(came.begin(), came.end(), [&](uint8_t byte) { return byte == value; });
  }

 private:
  Device& device_;
  size_t size_;
  void* there_;
  void* pinned_;
};

TEST_P(EveryDevice, CopiesFromAndToPinnedMemoryInOrder) {
  Bytes a(device_, 1000), b(device_, 1000);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(a.pinned()) % 64, 0u);
  a.fill_pinned(5);
  device_.copy_from_pinned(a.there(), a.pinned(), 1000);
  device_.copy(b.there(), a.there(), 1000);
  device_.copy_to_pinned(b.pinned(), b.there(), 1000);
  const auto mark = device_.mark();
  mark->wait();
  EXPECT_TRUE(mark->reached());
  EXPECT_TRUE(std::all_of(b.pinned(), b.pinned() + 1000, [](uint8_t byte) { return byte == 5; }));
  device_.copy_from_pinned(a.there(), a.pinned(), 0);
}

TEST_P(EveryDevice, HasWhatWasSentAheadOnceItFollowed) {
  Bytes a(device_, 4096), b(device_, 4096);
  a.fill_pinned(1);
  const auto arrived = device_.send_ahead(a.there(), a.pinned(), 4096, nullptr);
  device_.follow(*arrived);
  device_.copy(b.there(), a.there(), 4096);
  const auto used = device_.mark();
  arrived->wait();  // the pinned memory may be reused
  a.fill_pinned(2);
  const auto again = device_.send_ahead(a.there(), a.pinned(), 4096, used.get());
  EXPECT_TRUE(b.is(1));
  device_.follow(*again);
  EXPECT_TRUE(a.is(2));
}

TEST_P(EveryDevice, ReplaysWhatItRecordedOrSaysThatItCannot) {
  Bytes a(device_, 64);
  const auto work = [&] { device_.copy_from_pinned(a.there(), a.pinned(), 64); };
  EXPECT_FALSE(device_.recording());
  if (!device_.can_replay()) {
    EXPECT_THROW(device_.record(work), DeviceError);
    return;
  }
  a.fill_pinned(1);
  const auto replay = device_.record(work);
  EXPECT_FALSE(device_.recording());
  EXPECT_EQ(replay->size(), 1u);
  for (const int value : {2, 3}) {
    a.fill_pinned(value);
    replay->run();
    EXPECT_TRUE(a.is(value)) << "each run reads the pinned memory anew";
  }
}

TEST_P(EveryDevice, TakesRangesForNothing) {
  device_.push_range("a range");
  device_.pop_range();
  EXPECT_EQ(device_.index(), 0);
}

INSTANTIATE_TEST_SUITE_P(Here, EveryDevice, ::testing::ValuesIn(device_names()), [](const auto& which) { return which.param; });

TEST(OpenDevice, TakesTheFastestForAuto) { EXPECT_EQ(open_device("auto").name(), device_names().front()); }

TEST(OpenDevice, ListsTheDevicesForAnUnknownName) {
  try {
    open_device("abacus");
    FAIL() << "an unknown device was opened";
  } catch (const DeviceError& error) {
    EXPECT_NE(error.message().find("abacus"), std::string::npos);
    for (const std::string& name : device_names()) EXPECT_NE(error.hint().find(name), std::string::npos) << error.what();
  }
}

TEST(OpenDevice, NeverFallsBackFromADeviceThatIsNotThere) {
  const std::vector<std::string> names = device_names();
  if (std::find(names.begin(), names.end(), "cuda") != names.end()) return;
  try {
    open_device("cuda");
    FAIL() << "cuda was opened in a build without it";
  } catch (const DeviceError& error) {
    EXPECT_NE(error.message().find("CUDA"), std::string::npos) << error.what();
  }
}

TEST(OpenDevice, TakesAnIndex) {
  EXPECT_EQ(&open_device("cpu:0"), &open_device("cpu"));
  EXPECT_EQ(&open_device("simt:0"), &open_device("simt"));
  for (const char* const name : {"cpu:1", "simt:1", "reference:7", "cuda:4096"}) {
    try {
      open_device(name);
      ADD_FAILURE() << name << " was opened";
    } catch (const DeviceError& error) {
      EXPECT_NE(error.message().find(name), std::string::npos) << error.what();
    }
  }
  for (const char* const name : {"cuda:", "cuda:x", "cuda:-1", "cuda:1x", "cpu: 0", ":1", "auto:0"}) try {
      open_device(name);
      ADD_FAILURE() << name << " was opened";
    } catch (const DeviceError& error) {
      EXPECT_NE(error.message().find(fmt::format("there is no device '{}'", name)), std::string::npos) << error.what();
    }
}

TEST(OpenDevice, AlwaysHasTheReference) {
  const std::vector<std::string> names = device_names();
  EXPECT_NE(std::find(names.begin(), names.end(), "reference"), names.end());
}

TEST(HostThreads, AreWhatWasAskedForAndZeroGivesTheDefaultBack) {
  const int by_default = host_threads();
  EXPECT_GE(by_default, 1);
  set_host_threads(3);
  EXPECT_EQ(host_threads(), 3);
  set_host_threads(0);
  EXPECT_EQ(host_threads(), by_default);
  EXPECT_THROW(set_host_threads(-1), DeviceError);
  EXPECT_EQ(host_threads(), by_default);
}

}  // namespace
}  // namespace mirilla
