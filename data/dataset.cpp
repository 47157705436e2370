// SPDX-License-Identifier: MIT
#include "data/dataset.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <exception>
#include <iterator>
#include <map>
#include <numeric>
#include <thread>
#include <utility>

#include "data/archive/names.h"
#include "data/pictures/decode.h"
#include "kernels/core/error.h"
#include "kernels/host/threads.h"

namespace mirilla::data {

namespace {

constexpr size_t kNamedBadPictures = 3;

uint64_t bytes_of(const Picture& picture) { return picture.pixels.size() + sizeof(Picture); }

void check_indices(std::span<const int64_t> indices, size_t items) {
  for (const int64_t i : indices) {
    if (i < 0 || static_cast<size_t>(i) >= items)
      throw ShapeError(fmt::format("Dataset: the split has the index {} and there are {} items", i, items));
  }
}

[[noreturn]] void throw_too_many(const std::string& source, const std::vector<BadPicture>& bad, size_t total, double max_bad) {
  std::string names;
  for (size_t i = 0; i < std::min(bad.size(), kNamedBadPictures); ++i) names += fmt::format("{}{}", i ? "; " : "", bad[i].reason);
  if (bad.size() > kNamedBadPictures) names += "; ...";
  throw TooManyBad(fmt::format("{}: {} of {} pictures {} not decode, more than the allowed {:g} % ({})", source, bad.size(), total,
                               bad.size() == 1 ? "does" : "do", 100 * max_bad, names),
                   "was the data copied completely?");
}

}  // namespace

uint64_t default_cache_bytes() {
  const long pages = sysconf(_SC_PHYS_PAGES);
  const long page_bytes = sysconf(_SC_PAGESIZE);
  constexpr uint64_t kMost = uint64_t{2} << 30;
  return pages > 0 && page_bytes > 0 ? std::min(static_cast<uint64_t>(pages) * static_cast<uint64_t>(page_bytes) / 4, kMost) : kMost / 4;
}

Dataset::Dataset(std::shared_ptr<const Source> source, std::vector<Item> items, Split split, DatasetOptions options, DataOrigin origin)
    : source_(std::move(source)),
      items_(std::move(items)),
      split_(std::move(split)),
      options_(std::move(options)),
      origin_(std::move(origin)),
      own_vocabulary_(options_.vocabulary.empty()),
      slots_(items_.size()),
      fixed_(items_.size(), false),
      turned_(items_.size(), false) {
  if (options_.resize < 1) throw ShapeError(fmt::format("Dataset: the resize must be positive and is {}", options_.resize));
  check_indices(split_.train, items_.size());
  check_indices(split_.valid, items_.size());
  if (own_vocabulary_) options_.vocabulary = make_vocabulary(items_, split_.train);
  labels_.reserve(items_.size());
  for (const Item& item : items_) labels_.push_back(index_in(options_.vocabulary, item.label));
  for (const auto* part : {&split_.train, &split_.valid}) {
    for (const int64_t i : *part) {
      if (label(i) >= 0) continue;
      const Item& item = items_[static_cast<size_t>(i)];
      throw DataError(fmt::format("{} has the class \"{}\", which is not one of the training classes ({})", item.path, item.label,
                                  fmt::join(options_.vocabulary, ", ")),
                      "each class needs a picture to train on; a picture's class is the name of its folder");
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
  DecodedFile file = decode_file(source_->read(path), path, {.exif_rotate = options_.exif_rotate});
  const std::lock_guard lock(mutex_);
  ++statistics_.decoded;
  turned_[static_cast<size_t>(item)] = file.orientation != 1;
  return std::move(file.picture);
}

/// Returns the picture from the cache, or decodes it and caches it in the form that is best for later epochs.
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

int64_t Dataset::turned_pictures() const {
  const std::lock_guard lock(mutex_);
  int64_t turned = 0;
  for (const auto* part : {&split_.train, &split_.valid})
    turned += std::count_if(part->begin(), part->end(), [&](int64_t item) { return turned_[static_cast<size_t>(item)]; });
  return turned;
}

CacheStatistics Dataset::cache_statistics() const {
  const std::lock_guard lock(mutex_);
  return statistics_;
}

// ---- the scan ----

namespace {

/// The state shared by the scan's threads.
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

/// Stops and joins the threads, however the scan ends.
class Crew {
 public:
  Crew(ScanState& state, int threads, const std::function<void()>& work) : state_(state) {
    state_.running = threads;
    threads_ = start_threads(threads, work);
    const std::lock_guard lock(state_.mutex);
    state_.running -= threads - static_cast<int>(threads_.size());
  }
  ~Crew() {
    state_.stop = true;
    for (std::thread& thread : threads_) thread.join();
  }
  Crew(const Crew&) = delete;
  Crew& operator=(const Crew&) = delete;

 private:
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
      state.bad.push_back({item, items[static_cast<size_t>(item)].path, e.message(), e.hint()});
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
  const double allowed = std::max(options_.max_bad * static_cast<double>(total), options_.max_bad > 0 ? 1.0 : 0.0);
  if (!bad_.empty() && (static_cast<double>(bad_.size()) > allowed || bad_.size() == state.items.size()))
    throw_too_many(source_->name(), bad_, state.items.size(), options_.max_bad);
  drop_bad();
  check_no_class_is_gone();
  return bad_;
}

/// Needed because the vocabulary was made before the scan removed pictures.
void Dataset::check_no_class_is_gone() const {
  if (!own_vocabulary_ || bad_.empty()) return;
  const std::vector<int64_t> counts = class_counts(split_.train);
  for (size_t c = 0; c < counts.size(); ++c) {
    if (counts[c] > 0) continue;
    const auto why =
        std::find_if(bad_.begin(), bad_.end(), [&](const BadPicture& bad) { return label(bad.item) == static_cast<int64_t>(c); });
    throw DataError(fmt::format("{}: the class \"{}\" has no picture left to train on, since its pictures do not decode{}", source_->name(),
                                vocabulary()[c], why == bad_.end() ? "" : fmt::format(" ({})", why->reason)),
                    "a class needs pictures to train on: add some, or remove its folder");
  }
}

void Dataset::drop_bad() {
  if (bad_.empty()) return;
  std::vector<bool> is_bad(items_.size(), false);
  for (const BadPicture& picture : bad_) is_bad[static_cast<size_t>(picture.item)] = true;
  for (auto* part : {&split_.train, &split_.valid}) std::erase_if(*part, [&](int64_t item) { return is_bad[static_cast<size_t>(item)]; });
}

// ---- what the program opens ----

namespace {

/// The items of a training run, their split, and their origin.
struct Found {
  std::vector<Item> items;
  Split split;
  DataOrigin origin;
};

Split split_of(const std::vector<Item>& items, const TrainingData& wanted) {
  return wanted.split_file.empty() ? random_split(static_cast<int64_t>(items.size()), wanted.valid_pct, wanted.split_seed)
                                   : file_split(items, read_split_file(wanted.split_file));
}

void add_notes(std::vector<std::string>& notes, const std::vector<std::string>& more) {
  for (const std::string& note : more)
    if (std::find(notes.begin(), notes.end(), note) == notes.end()) notes.push_back(note);
}

bool is_among(const std::vector<std::string>& paths, const std::string& path) {
  return std::find(paths.begin(), paths.end(), path) != paths.end();
}

/// Records the parts of the layout that are not used.
void set_aside(DataOrigin& origin, const Layout& layout) {
  for (const PartFolder& folder : layout.folders)
    if (!is_among(origin.train, folder.path) && !is_among(origin.valid, folder.path)) origin.aside.push_back(folder);
  std::stable_sort(origin.aside.begin(), origin.aside.end(), [](const PartFolder& a, const PartFolder& b) { return a.part < b.part; });
  if (!origin.train.empty()) origin.outside = layout.outside;
}

Found find_training(const Source& source, const TrainingData& wanted) {
  ItemList train = find_items(source, {.part = Part::train, .limit_per_class = wanted.limit_per_class});
  Found found{.items = std::move(train.items), .origin = {.train = std::move(train.folders), .notes = std::move(train.notes)}};
  const std::vector<PartFolder> labelled = train.layout.labelled(Part::valid);
  const bool has_valid = !labelled.empty() && !is_among(found.origin.train, labelled[0].path);
  if (has_valid && wanted.valid_part && wanted.split_file.empty()) {
    ItemList valid = find_items(source, {.part = Part::valid, .limit_per_class = wanted.limit_per_class, .refuse_empty_folders = false});
    const auto n = static_cast<int64_t>(found.items.size());
    found.items.insert(found.items.end(), std::make_move_iterator(valid.items.begin()), std::make_move_iterator(valid.items.end()));
    found.split.train.resize(static_cast<size_t>(n));
    found.split.valid.resize(found.items.size() - found.split.train.size());
    std::iota(found.split.train.begin(), found.split.train.end(), int64_t{0});
    std::iota(found.split.valid.begin(), found.split.valid.end(), n);
    found.origin.valid = std::move(valid.folders);
    add_notes(found.origin.notes, valid.notes);
  } else {
    found.split = split_of(found.items, wanted);
  }
  set_aside(found.origin, train.layout);
  return found;
}

/// A class that occurs only in the validation part cannot be learned.
void check_each_class_trains(const Source& source, const Found& found) {
  std::map<std::string, std::array<int64_t, 2>> counts;
  for (const int64_t i : found.split.train) ++counts[found.items[static_cast<size_t>(i)].label][0];
  for (const int64_t i : found.split.valid) ++counts[found.items[static_cast<size_t>(i)].label][1];
  for (const auto& [label, n] : counts) {
    if (n[0] > 0) continue;
    const bool is_split = found.origin.valid.empty();
    throw DataError(
        fmt::format("{}: the class \"{}\" has no picture to train on: {}", source.name(), label,
                    is_split ? fmt::format("the split uses all of it, {}, for validation", counted(n[1], "picture"))
                             : fmt::format("it has {} only in {}, the validation part", counted(n[1], "picture"),
                                           listed(all_in_quotes(found.origin.valid)))),
        is_split ? "add pictures of it, choose another split, or remove its folder" : "put some of its pictures into the training part");
  }
}

}  // namespace

std::shared_ptr<Dataset> open_training(std::shared_ptr<const Source> source, const TrainingData& wanted) {
  Found found = find_training(*source, wanted);
  check_each_class_trains(*source, found);
  return std::make_shared<Dataset>(std::move(source), std::move(found.items), std::move(found.split), wanted.options,
                                   std::move(found.origin));
}

std::shared_ptr<Dataset> open_evaluation(std::shared_ptr<const Source> source, DatasetOptions options, int64_t limit_per_class) {
  if (options.vocabulary.empty()) throw UsageError("open_evaluation: expected the model's vocabulary, got none");
  ItemList list = find_items(*source, {.part = Part::test, .limit_per_class = limit_per_class, .refuse_empty_folders = false});
  DataOrigin origin{.train = std::move(list.folders), .notes = std::move(list.notes)};
  set_aside(origin, list.layout);
  Split split;
  split.valid.resize(list.items.size());
  std::iota(split.valid.begin(), split.valid.end(), int64_t{0});
  return std::make_shared<Dataset>(std::move(source), std::move(list.items), std::move(split), std::move(options), std::move(origin));
}

std::shared_ptr<Dataset> open_validation(std::shared_ptr<const Source> source, const TrainingData& wanted) {
  if (wanted.options.vocabulary.empty()) throw UsageError("open_validation: expected the model's vocabulary, got none");
  Found found = find_training(*source, wanted);
  if (found.split.valid.empty())
    throw DataError(fmt::format("{}: the split leaves none of {} pictures to validate with", source->name(), found.items.size()),
                    "give more pictures, a larger `valid_pct`, or a `split_file`");
  found.split.train.clear();
  return std::make_shared<Dataset>(std::move(source), std::move(found.items), std::move(found.split), wanted.options,
                                   std::move(found.origin));
}

}  // namespace mirilla::data
