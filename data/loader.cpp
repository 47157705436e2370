// SPDX-License-Identifier: MIT
#include "data/loader.h"

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>

#include "kernels/core/error.h"
#include "kernels/core/philox.h"
#include "kernels/host/threads.h"

namespace mirilla::data {

std::vector<int64_t> shuffled(std::vector<int64_t> items, uint64_t seed, int64_t epoch) {
  const RandomKey key{.seed = seed, .purpose = Purpose::kShuffle, .step = static_cast<uint32_t>(epoch)};
  std::array<uint32_t, 4> words{};
  for (size_t i = 0; i + 1 < items.size(); ++i) {
    if (i % 4 == 0) words = key.block(static_cast<uint32_t>(i / 4));
    // The upper half of a 64-bit product maps 32 bits to 0..left-1 without a division.
    const uint64_t left = items.size() - i;
    std::swap(items[i], items[i + static_cast<size_t>((words[i % 4] * left) >> 32)]);
  }
  return items;
}

/// Workers take pictures one by one from a shared counter, in the epoch's order, and may run `prefetch` batches ahead of the caller's
/// batch. A picture's place in its batch follows from the counter alone, so the number of threads does not matter.
class Loader::Impl {
 public:
  Impl(std::shared_ptr<const Dataset> dataset, const LoaderOptions& options) : dataset_(std::move(dataset)), options_(options) {
    if (options.batch_size < 1 || options.threads < 1 || options.prefetch < 1) {
      throw UsageError(fmt::format("Loader: batch size {}, threads {} and prefetch {} must all be positive", options.batch_size,
                                   options.threads, options.prefetch));
    }
    items_ = options.training ? dataset_->train() : dataset_->valid();
    const auto n = static_cast<int64_t>(items_.size());
    batches_ = options.training ? n / options.batch_size : (n + options.batch_size - 1) / options.batch_size;
    pictures_ = options.training ? batches_ * options.batch_size : n;
    next_ = end_ = 0;
    slots_.resize(static_cast<size_t>(std::min<int64_t>(options.prefetch + 1, std::max<int64_t>(batches_, 1))));
    threads_ = start_threads(options.threads, [this] { work(); });  // fewer threads give the same batches
  }

  ~Impl() { join(); }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  int64_t batches() const { return batches_; }
  int64_t pictures() const { return pictures_; }

  void start(int64_t epoch, std::shared_ptr<const std::vector<bool>> leave_out) {
    std::unique_lock lock(mutex_);
    end_ = next_;  // no new pictures; wait for those in work
    changed_.wait(lock, [&] { return busy_ == 0; });
    epoch_ = epoch;
    leave_out_ = std::move(leave_out);
    order_ = items_;
    if (options_.training) order_ = shuffled(std::move(order_), options_.seed, epoch);
    for (size_t b = 0; b < slots_.size(); ++b) prepare(slots_[b], static_cast<int64_t>(b));
    held_ = -1;
    next_ = 0;
    end_ = pictures_;
    changed_.notify_all();
  }

  const Batch* next() {
    std::unique_lock lock(mutex_);
    if (end_ < pictures_) return nullptr;  // not started, or ended by an exception
    if (held_ >= 0) {
      prepare(slot(held_), held_ + static_cast<int64_t>(slots_.size()));
      changed_.notify_all();
    }
    ++held_;
    if (held_ >= batches_) {
      held_ = batches_;
      return nullptr;
    }
    Slot& mine = slot(held_);
    changed_.wait(lock, [&] { return mine.left == 0; });
    if (mine.failure) {
      end_ = std::min(next_, pictures_ - 1);
      std::rethrow_exception(mine.failure);
    }
    return &mine.batch;
  }

 private:
  struct Slot {
    Batch batch;
    int64_t index = -1;  // the number of the batch in the epoch
    int64_t left = 0;    // pictures still to come
    std::exception_ptr failure;
    int64_t failed_place = 0;
    uint8_t* memory = nullptr;  // from options_.memory
  };

  Slot& slot(int64_t batch) { return slots_[static_cast<size_t>(batch) % slots_.size()]; }

  /// Prepares a slot for the given batch of the epoch. The buffers keep their capacity.
  void prepare(Slot& slot, int64_t index) {
    slot.index = index;
    slot.failure = nullptr;
    if (index >= batches_) return;
    const auto side = static_cast<size_t>(dataset_->resize());
    const int64_t first = index * options_.batch_size;
    Batch& batch = slot.batch;
    batch.n = std::min(options_.batch_size, pictures_ - first);
    batch.size = dataset_->resize();
    slot.left = batch.n;
    const auto n = static_cast<size_t>(batch.n);
    make_room(slot, n * side * side * 3, static_cast<size_t>(options_.batch_size) * side * side * 3);
    batch.labels.resize(n);
    batch.items.assign(order_.begin() + first, order_.begin() + first + batch.n);
    for (size_t i = 0; i < n; ++i) batch.labels[i] = dataset_->label(batch.items[i]);
  }

  void make_room(Slot& slot, size_t bytes, size_t most) {
    Batch& batch = slot.batch;
    if (options_.memory) {
      if (!slot.memory) slot.memory = static_cast<uint8_t*>(options_.memory(most));
      batch.staged = {slot.memory, bytes};
      return;
    }
    if (batch.pixels.capacity() == 0) batch.pixels.reserve(most);
    batch.pixels.resize(bytes);
  }

  bool may_take() { return next_ < end_ && slot(next_ / options_.batch_size).index == next_ / options_.batch_size; }

  void work() {
    std::unique_lock lock(mutex_);
    while (true) {
      changed_.wait(lock, [&] { return stop_ || may_take(); });
      if (stop_) return;
      const int64_t at = next_++;
      ++busy_;
      Slot& mine = slot(at / options_.batch_size);
      const int64_t place = at % options_.batch_size;
      const int64_t epoch = epoch_;
      lock.unlock();
      std::exception_ptr failure = fill(mine.batch, place, epoch);
      lock.lock();
      --busy_;
      if (failure && (!mine.failure || place < mine.failed_place)) {  // keep the first in the batch's order, not in time
        mine.failure = std::move(failure);
        mine.failed_place = place;
      }
      if (--mine.left == 0 || busy_ == 0) changed_.notify_all();
    }
  }

  std::exception_ptr fill(Batch& batch, int64_t place, int64_t epoch) const {
    try {
      const size_t bytes = static_cast<size_t>(batch.size) * static_cast<size_t>(batch.size) * 3;
      const int64_t item = batch.items[static_cast<size_t>(place)];
      if (leave_out_ && (*leave_out_)[static_cast<size_t>(item)]) return nullptr;
      const std::span<uint8_t> all = batch.staged.empty() ? std::span(batch.pixels) : batch.staged;
      const CropDraw draw = options_.training || options_.random_crops ? crop_draw(options_.seed, epoch, item) : CropDraw{};
      dataset_->resized(item, draw, all.subspan(static_cast<size_t>(place) * bytes, bytes));
      return nullptr;
    } catch (...) {
      return std::current_exception();
    }
  }

  void join() {
    {
      const std::lock_guard lock(mutex_);
      stop_ = true;
      changed_.notify_all();
    }
    for (std::thread& thread : threads_) thread.join();
  }

  std::shared_ptr<const Dataset> dataset_;
  LoaderOptions options_;
  std::vector<int64_t> items_;
  int64_t batches_ = 0;
  int64_t pictures_ = 0;

  std::mutex mutex_;  // guards the members below, except the pixels of a picture in work
  std::condition_variable changed_;
  std::vector<Slot> slots_;
  std::vector<int64_t> order_;
  int64_t epoch_ = 0;
  std::shared_ptr<const std::vector<bool>> leave_out_;  // changes only while no picture is in work
  int64_t next_ = 0;                                    // the next picture to take
  int64_t end_ = 0;                                     // pictures may be taken up to here
  int64_t held_ = -1;                                   // the batch that the caller holds
  int64_t busy_ = 0;                                    // pictures in work
  bool stop_ = false;
  std::vector<std::thread> threads_;
};

Loader::Loader(std::shared_ptr<const Dataset> dataset, const LoaderOptions& options)
    : impl_(std::make_unique<Impl>(std::move(dataset), options)) {}
Loader::~Loader() = default;

int64_t Loader::batches_per_epoch() const { return impl_->batches(); }
int64_t Loader::pictures_per_epoch() const { return impl_->pictures(); }
void Loader::start(int64_t epoch, std::shared_ptr<const std::vector<bool>> leave_out) { impl_->start(epoch, std::move(leave_out)); }
const Batch* Loader::next() { return impl_->next(); }

}  // namespace mirilla::data
