// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cstring>
#include <memory>
#include <mutex>
#include <new>
#include <utility>
#include <vector>

#include "kernels/core/error.h"
#include "kernels/core/implements.h"
#include "kernels/cuda/backend.h"
#include "kernels/cuda/ledger/account.h"
#include "kernels/cuda/ledger/formulas.h"

namespace mirilla::simt {

namespace {

constexpr std::string_view kName = "ledger";

// The table of cuda: each call is noted, and its launchers run with the facts of the GPU.
class LedgerBackend final : public Implements<LedgerBackend, CoreOperations, OptionalOperations> {
 public:
  explicit LedgerBackend(LedgerAccount& account) : account_(account), stream_(account), inner_(stream_) {}

  std::string_view name() const override { return kName; }

  bool rounds(const op::Conv2dBackwardWeight& call) override { return inner_.rounds(call); }
  bool rounds(const op::Conv2dBiasAddRelu& call) override { return inner_.rounds(call); }

  template <class T>
  void execute(const T& call) {
    const FactsScope scope(account_.gpu());
    const formulas::Moves moves = formulas::moves_of(call);
    account_.note(
        {.operation = std::string(T::kName), .range = {}, .floor = moves.floor, .eager = moves.eager, .compiled = moves.compiled});
    account_.begin_call(T::kName, formulas::flop_of(call), works_in_halves(call));
    for_each_view(call, [&](const auto& view) { add(view); });
    if constexpr (std::is_same_v<T, op::Adam>)
      for (const AdamTensor& tensor : call.tensors) add(tensor);
    inner_.run(call);
    account_.end_call();
  }

 private:
  template <class T>
  static bool works_in_halves(const T& call) {
    bool halves = false;
    for_each_view(call, [&](const auto& view) {
      if constexpr (std::is_same_v<std::remove_cvref_t<decltype(view)>, ConstView>) halves = halves || (view && is_half(view.dtype));
    });
    return halves;
  }

  void add(const ConstView& view) { account_.tensor(view.address, formulas::bytes_of(view), true, false); }
  void add(const View& view) { account_.tensor(view.address, formulas::bytes_of(view), false, true); }
  void add(std::span<const ConstView> views) {
    for (const ConstView& view : views) add(view);
  }
  // Updated in place.
  void add(const AdamTensor& tensor) {
    for (const View* view : {&tensor.parameter, &tensor.m, &tensor.v, &tensor.step})
      account_.tensor(view->address, formulas::bytes_of(*view), true, true);
    add(tensor.gradient);
    add(tensor.copy);
    add(tensor.rate);
  }

  LedgerAccount& account_;
  Stream stream_;
  CudaBackend inner_;
};

// Its work, to be added again at each run.
class LedgerReplay final : public DeviceReplay {
 public:
  LedgerReplay(LedgerDevice::Work work, LedgerAccount& account) : work_(std::move(work)), account_(account) {
    for (LedgerEntry& entry : work_.entries) entry.replayed = true;
  }
  void run() override {
    LedgerDevice::Work& into = *account_.into();
    into.entries.insert(into.entries.end(), work_.entries.begin(), work_.entries.end());
    into.calls.insert(into.calls.end(), work_.calls.begin(), work_.calls.end());
  }
  size_t size() const override { return work_.entries.size(); }

 private:
  LedgerDevice::Work work_;
  LedgerAccount& account_;
};

class Ledger final : public LedgerDevice {
 public:
  explicit Ledger(const LedgerOptions& options) : account_(options), backend_(account_) { account_.into() = &work_; }

  Work take() override { return std::exchange(work_, {}); }

  std::string_view name() const override { return kName; }
  std::string description() const override { return fmt::format("ledger: what a {} would be given", account_.gpu().name); }
  Backend& backend() override { return backend_; }

  void* allocate(size_t bytes) override { return account_.allocate(bytes); }
  void release(void* address, size_t) noexcept override { account_.release(address); }
  size_t free_bytes() override { return account_.gpu().memory_bytes - account_.held(); }
  void* allocate_pinned(size_t bytes) override;
  void release_pinned(void* address, size_t) noexcept override { ::operator delete (address, std::align_val_t{kPinnedAlignment}); }

  bool host_addressable() const override { return false; }
  void copy_from_host(void*, const void*, size_t bytes) override { account_.sent("to the device", 0, static_cast<int64_t>(bytes)); }
  void copy_to_host(void* to, const void*, size_t bytes) override {
    std::memset(to, 0, bytes);
    account_.sent("to the host", static_cast<int64_t>(bytes), 0);
  }
  void copy(void* to, const void* from, size_t bytes) override { account_.copied(to, from, bytes); }
  void synchronize() override {}

  bool can_replay() const override { return true; }
  bool recording() const override { return recording_; }
  std::unique_ptr<DeviceReplay> record(const std::function<void()>& work) override;

  bool wants_ranges() const override { return true; }
  void push_range(std::string_view name) override { account_.push_range(name); }
  void pop_range() override { account_.pop_range(); }

 private:
  static constexpr size_t kPinnedAlignment = 64;
  LedgerAccount account_;
  LedgerBackend backend_;
  Work work_;
  bool recording_ = false;
};

// The host writes there, so it is memory.
void* Ledger::allocate_pinned(size_t bytes) { return ::operator new (std::max<size_t>(bytes, 1), std::align_val_t{kPinnedAlignment}); }

std::unique_ptr<DeviceReplay> Ledger::record(const std::function<void()>& work) {
  if (recording_) throw DeviceError("a replay was started while another one records");
  Work recorded;
  recording_ = true;
  account_.into() = &recorded;
  const auto end = [&] {
    recording_ = false;
    account_.into() = &work_;
  };
  try {
    work();
  } catch (...) {
    end();
    throw;
  }
  end();
  return std::make_unique<LedgerReplay>(std::move(recorded), account_);
}

}  // namespace

}  // namespace mirilla::simt

namespace mirilla {

// Never destroyed, like the other devices: the engine keeps an allocator for each.
LedgerDevice& new_ledger_device(const LedgerOptions& options) {
  static std::mutex mutex;
  static auto& all = *std::make_unique<std::vector<std::unique_ptr<simt::Ledger>>>().release();
  const std::lock_guard lock(mutex);
  return *all.emplace_back(std::make_unique<simt::Ledger>(options));
}

}  // namespace mirilla
