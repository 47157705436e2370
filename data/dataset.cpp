// SPDX-License-Identifier: MIT
#include "data/dataset.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <exception>
#include <numeric>
#include <thread>
#include <utility>

#include "data/decode.h"
#include "kernels/error.h"

namespace mirilla::data {

namespace {

constexpr double kMostBadPictures = 0.05;
constexpr size_t kNamedBadPictures = 3;

uint64_t bytes_of(const Picture& picture) { return picture.pixels.size() + sizeof(Picture); }

void check_indices(std::span<const int64_t> indices, size_t items) {
  for (const int64_t i : indices) {
    if (i < 0 || static_cast<size_t>(i) >= items)
      throw ShapeError(fmt::format("Dataset: the split has the index {} and there are {} items", i, items));
  }
}

[[noreturn]] void throw_too_many(const std::string& source, const std::vector<BadPicture>& bad, size_t total) {
  std::string names;
  for (size_t i = 0; i < std::min(bad.size(), kNamedBadPictures); ++i) names += fmt::format("{}{}", i ? "; " : "", bad[i].reason);
  if (bad.size() > kNamedBadPictures) names += "; ...";
  throw DataError(fmt::format("{}: {} of {} pictures do not decode, more than the {:.0f} % that are passed over ({})", source, bad.size(),
                              total, 100 * kMostBadPictures, names),
                  "was the data copied whole?");
}

}  // namespace

uint64_t default_cache_bytes() {
  const long pages = sysconf(_SC_PHYS_PAGES);
  const long page_bytes = sysconf(_SC_PAGESIZE);
  constexpr uint64_t kMost = uint64_t{2} << 30;
  return pages > 0 && page_bytes > 0 ? std::min(static_cast<uint64_t>(pages) * static_cast<uint64_t>(page_bytes) / 4, kMost) : kMost / 4;
}

Dataset::Dataset(std::shared_ptr<const Source> source, std::vector<Item> items, Split split, DatasetOptions options)
    : source_(std::move(source)),
      items_(std::move(items)),
      split_(std::move(split)),
      options_(std::move(options)),
      slots_(items_.size()),
      fixed_(items_.size(), false) {
  if (options_.resize < 1) throw ShapeError(fmt::format("Dataset: the resize must be positive and is {}", options_.resize));
  check_indices(split_.train, items_.size());
  check_indices(split_.valid, items_.size());
  if (options_.vocabulary.empty()) options_.vocabulary = make_vocabulary(items_, split_.train);
  labels_.reserve(items_.size());
  for (const Item& item : items_) labels_.push_back(index_in(options_.vocabulary, item.label));
  for (const auto* part : {&split_.train, &split_.valid}) {
    for (const int64_t i : *part) {
      if (label(i) >= 0) continue;
      const Item& item = items_[static_cast<size_t>(i)];
      throw DataError(fmt::format("{} has the class \"{}\", which is not among those trained on ({})", item.path, item.label,
                                  fmt::join(options_.vocabulary, ", ")),
                      "each class needs a picture to train on; the folder that a picture lies in is its class");
    }
  }
  const auto side = static_cast<uint64_t>(options_.resize);
  prefer_resized_ = items_.size() * (side * side * 3 + sizeof(Picture)) <= options_.cache_bytes;
}

std::vector<int64_t> Dataset::class_counts(std::span<const int64_t> indices) const {
  std::vector<int64_t> counts(vocabulary().size(), 0);
  for (const int64_t i : indices) ++counts[static_cast<size_t>(label(i))];
  return counts;
}

// ---- the cache ----

Dataset::Slot Dataset::cached(int64_t item) const {
  const std::lock_guard lock(mutex_);
  Slot slot = slots_[static_cast<size_t>(item)];
  if (slot.picture) ++statistics_.hits;
  return slot;
}

void Dataset::keep(int64_t item, std::shared_ptr<const Picture> picture, bool is_resized) const {
  const uint64_t bytes = bytes_of(*picture);
  const std::lock_guard lock(mutex_);
  Slot& slot = slots_[static_cast<size_t>(item)];
  if (slot.picture || statistics_.bytes + bytes > options_.cache_bytes) return;
  slot = {std::move(picture), is_resized};
  statistics_.bytes += bytes;
  ++statistics_.pictures;
}

Picture Dataset::decode_item(int64_t item) const {
  const std::string& path = items_[static_cast<size_t>(item)].path;
  Picture picture = decode(source_->read(path), path);
  const std::lock_guard lock(mutex_);
  ++statistics_.decoded;
  return picture;
}

/// From the cache, or decoded and put there in the form that serves the epochs best.
Dataset::Slot Dataset::load(int64_t item) const {
  if (Slot slot = cached(item); slot.picture) return slot;
  auto whole = std::make_shared<const Picture>(decode_item(item));
  const int size = options_.resize;
  const bool smaller = static_cast<int64_t>(size) * size <= static_cast<int64_t>(whole->width) * whole->height;
  const bool fixed = resize_crop_is_fixed(whole->width, whole->height, size);
  note_fixed(item, fixed);
  if (fixed && (smaller || prefer_resized_)) {
    auto square = std::make_shared<const Picture>(resize_crop(*whole, size, 0.5, 0.5));
    keep(item, square, true);
    return {std::move(square), true};
  }
  keep(item, whole, false);
  return {std::move(whole), false};
}

std::shared_ptr<const Picture> Dataset::picture(int64_t item) const {
  check_indices(std::span(&item, 1), items_.size());
  Slot slot = cached(item);
  if (slot.picture && !slot.is_resized) return slot.picture;
  auto whole = std::make_shared<const Picture>(decode_item(item));
  if (!slot.picture) keep(item, whole, false);
  return whole;
}

void Dataset::resized(int64_t item, CropDraw draw, std::span<uint8_t> out) const {
  check_indices(std::span(&item, 1), items_.size());
  const Slot slot = load(item);
  if (!slot.is_resized) return resize_crop(*slot.picture, options_.resize, draw.x, draw.y, out);
  if (out.size() != slot.picture->pixels.size()) {
    throw ShapeError(fmt::format("Dataset: a picture takes {} bytes and the output has {}", slot.picture->pixels.size(), out.size()));
  }
  std::memcpy(out.data(), slot.picture->pixels.data(), out.size());
}

void Dataset::note_fixed(int64_t item, bool fixed) const {
  const std::lock_guard lock(mutex_);
  fixed_[static_cast<size_t>(item)] = fixed;
}

bool Dataset::crop_is_fixed(int64_t item) const {
  check_indices(std::span(&item, 1), items_.size());
  const std::lock_guard lock(mutex_);
  return fixed_[static_cast<size_t>(item)];
}

CacheStatistics Dataset::cache_statistics() const {
  const std::lock_guard lock(mutex_);
  return statistics_;
}

// ---- the scan ----

namespace {

/// What the scan's threads share.
struct ScanState {
  std::vector<int64_t> items;
  std::atomic<size_t> next{0};
  std::atomic<int64_t> done{0};
  std::atomic<bool> stop{false};
  std::mutex mutex;
  std::condition_variable finished;
  std::vector<BadPicture> bad;
  std::exception_ptr failure;
  int running = 0;
};

/// Stops and joins however the scan is left.
class Crew {
 public:
  Crew(ScanState& state, int threads, const std::function<void()>& work) : state_(state) {
    state_.running = threads;
    try {
      for (int i = 0; i < threads; ++i) threads_.emplace_back(work);
    } catch (...) {
      finish();
      throw;
    }
  }
  ~Crew() { finish(); }
  Crew(const Crew&) = delete;
  Crew& operator=(const Crew&) = delete;

 private:
  void finish() {
    state_.stop = true;
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }

  ScanState& state_;
  std::vector<std::thread> threads_;
};

void scan_items(ScanState& state, const std::function<void(int64_t)>& load, const std::vector<Item>& items) {
  while (!state.stop) {
    const size_t at = state.next++;
    if (at >= state.items.size()) break;
    const int64_t item = state.items[at];
    try {
      load(item);
    } catch (const DataError& e) {
      const std::lock_guard lock(state.mutex);
      state.bad.push_back({item, items[static_cast<size_t>(item)].path, e.message()});
    } catch (...) {
      const std::lock_guard lock(state.mutex);
      if (!state.failure) state.failure = std::current_exception();
      state.stop = true;
    }
    ++state.done;
  }
  const std::lock_guard lock(state.mutex);
  --state.running;
  state.finished.notify_one();
}

}  // namespace

const std::vector<BadPicture>& Dataset::scan(int threads, const std::function<void(int64_t, int64_t)>& progress) {
  ScanState state;
  state.items = split_.train;
  state.items.insert(state.items.end(), split_.valid.begin(), split_.valid.end());
  const auto total = static_cast<int64_t>(state.items.size());
  {
    const Crew crew(state, std::max(threads, 1), [&] {
      scan_items(
          state, [&](int64_t item) { load(item); }, items_);
    });
    constexpr auto kBetweenReports = std::chrono::milliseconds(100);
    std::unique_lock lock(state.mutex);
    while (!state.finished.wait_for(lock, kBetweenReports, [&] { return state.running == 0; })) {
      lock.unlock();
      if (progress) progress(state.done, total);
      lock.lock();
    }
  }
  if (state.failure) std::rethrow_exception(state.failure);
  if (progress) progress(total, total);
  bad_ = std::move(state.bad);
  std::sort(bad_.begin(), bad_.end(), [](const BadPicture& a, const BadPicture& b) { return a.item < b.item; });
  if (static_cast<double>(bad_.size()) > kMostBadPictures * static_cast<double>(total))
    throw_too_many(source_->name(), bad_, state.items.size());
  drop_bad();
  return bad_;
}

void Dataset::drop_bad() {
  if (bad_.empty()) return;
  std::vector<bool> is_bad(items_.size(), false);
  for (const BadPicture& picture : bad_) is_bad[static_cast<size_t>(picture.item)] = true;
  for (auto* part : {&split_.train, &split_.valid}) std::erase_if(*part, [&](int64_t item) { return is_bad[static_cast<size_t>(item)]; });
}

// ---- what the program opens ----

namespace {

Split split_of(const std::vector<Item>& items, const TrainingData& wanted) {
  return wanted.split_file.empty() ? random_split(static_cast<int64_t>(items.size()), wanted.valid_pct, wanted.split_seed)
                                   : file_split(items, read_split_file(wanted.split_file));
}

}  // namespace

std::shared_ptr<Dataset> open_training(std::shared_ptr<const Source> source, const TrainingData& wanted) {
  ItemList list = find_items(*source, {.part = "train", .limit_per_class = wanted.limit_per_class});
  Split split = split_of(list.items, wanted);
  return std::make_shared<Dataset>(std::move(source), std::move(list.items), std::move(split), wanted.options);
}

std::shared_ptr<Dataset> open_evaluation(std::shared_ptr<const Source> source, DatasetOptions options, int64_t limit_per_class) {
  if (options.vocabulary.empty()) throw UsageError("open_evaluation: it wants the model's vocabulary");
  ItemList list = find_items(*source, {.part = "test", .limit_per_class = limit_per_class});
  Split split;
  split.valid.resize(list.items.size());
  std::iota(split.valid.begin(), split.valid.end(), int64_t{0});
  return std::make_shared<Dataset>(std::move(source), std::move(list.items), std::move(split), std::move(options));
}

std::shared_ptr<Dataset> open_validation(std::shared_ptr<const Source> source, const TrainingData& wanted) {
  if (wanted.options.vocabulary.empty()) throw UsageError("open_validation: it wants the model's vocabulary");
  ItemList list = find_items(*source, {.part = "train", .limit_per_class = wanted.limit_per_class});
  Split split = split_of(list.items, wanted);
  if (split.valid.empty())
    throw DataError(fmt::format("{}: of {} pictures the split leaves none to validate with", source->name(), list.items.size()),
                    "more pictures, a larger --valid-pct, or a --split-file");
  split.train.clear();
  return std::make_shared<Dataset>(std::move(source), std::move(list.items), std::move(split), wanted.options);
}

}  // namespace mirilla::data
