// SPDX-License-Identifier: MIT
#include "data/feed.h"

#include <algorithm>
#include <utility>

namespace mirilla::data {

Feed::Feed(std::shared_ptr<const Dataset> dataset, const LoaderOptions& options, Device& device, uint64_t keep_bytes)
    : dataset_(std::move(dataset)),
      options_(options),
      device_(device),
      picture_bytes_(int64_t{dataset_->resize()} * dataset_->resize() * 3),
      kept_at_(dataset_->items().size(), -1) {
  LoaderOptions loading = options;
  loading.memory = [this](size_t bytes) { return allocate_pinned(bytes); };
  loader_ = std::make_unique<Loader>(dataset_, loading);
  const auto wanted = static_cast<int64_t>((options.training ? dataset_->train() : dataset_->valid()).size());
  capacity_ = std::min(wanted, static_cast<int64_t>(keep_bytes / static_cast<uint64_t>(picture_bytes_)));
  const int64_t batch = options.batch_size, side = dataset_->resize();
  pictures_ = empty({capacity_ + static_cast<int64_t>(kRooms) * batch, side, side, 3}, DType::u8, device);
  for (size_t i = 0; i < kRooms; ++i) {
    Room& room = rooms_[i];
    room.first = capacity_ + static_cast<int64_t>(i) * batch;
    room.places = empty({batch, 2}, DType::i64, device);
    room.pinned_places = static_cast<int64_t*>(allocate_pinned(static_cast<size_t>(batch) * 2 * sizeof(int64_t)));
  }
}

Feed::~Feed() {
  try {
    wait_for_sent();
  } catch (const Error&) {  // the device failed and reads nothing any more
  }
}

void* Feed::allocate_pinned(size_t bytes) {
  pinned_.push_back(std::make_unique<PinnedMemory>(device_, bytes));
  return pinned_.back()->address();
}

void Feed::wait_for_sent() {
  // The second stream has an order: the last send arrives after all others.
  const Room& last = rooms_[(static_cast<size_t>(fetched_) + kRooms - 1) % kRooms];
  if (!last.arrivals.empty()) last.arrivals.back()->wait();
}

void Feed::start(int64_t epoch) {
  wait_for_sent();
  if (reading_) rooms_[static_cast<size_t>(given_ - 1) % kRooms].used = device_.mark();
  reading_ = false;
  failure_ = nullptr;
  // A batch that was fetched but not given out is dropped; its pictures that are to be kept are already in place.
  for (; given_ < fetched_; ++given_) follow(given_);
  auto leave_out = std::make_shared<std::vector<bool>>(kept_at_.size());
  for (size_t i = 0; i < kept_at_.size(); ++i) (*leave_out)[i] = kept_at_[i] >= 0;
  loader_->start(epoch, std::move(leave_out));
}

/// Makes later work on the main stream wait until the batch has arrived.
void Feed::follow(int64_t batch) {
  for (const auto& arrival : rooms_[static_cast<size_t>(batch) % kRooms].arrivals) device_.follow(*arrival);
}

const Batch* Feed::next() {
  if (reading_) rooms_[static_cast<size_t>(given_ - 1) % kRooms].used = device_.mark();
  reading_ = false;
  if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
  if (given_ == fetched_ && !fetch()) return nullptr;
  Room& room = rooms_[static_cast<size_t>(given_) % kRooms];
  try {
    fetch();  // the next batch, so that it is copied while this one is used
  } catch (...) {
    failure_ = std::current_exception();  // of a batch that was not requested yet
  }
  follow(given_);  // after fetch(), which waited until this batch had been sent: mostly there is nothing left to wait for
  ++given_;
  reading_ = true;
  return &room.batch;
}

bool Feed::fetch() {
  wait_for_sent();  // the loader will now reuse its memory
  const Batch* const from = loader_->next();
  if (!from) return false;
  Room& room = rooms_[static_cast<size_t>(fetched_) % kRooms];
  room.batch.n = from->n;
  room.batch.size = from->size;
  room.batch.labels = from->labels;
  room.batch.items = from->items;
  room.batch.pictures = pictures_;
  room.batch.places = room.places.slice(0, from->n);
  send(*from, room);
  ++fetched_;
  return true;
}

/// The place of an item's picture on the device: its own place, or number `in_room` of the room.
int64_t Feed::place_of(int64_t item, int64_t in_room) {
  const bool same_every_epoch = (!options_.training && !options_.random_crops) || dataset_->crop_is_fixed(item);
  if (!same_every_epoch || statistics_.kept == capacity_) return in_room;
  return kept_at_[static_cast<size_t>(item)] = statistics_.kept++;
}

void Feed::send(const Batch& from, Room& room) {
  room.arrivals.clear();
  const auto address = static_cast<std::byte*>(View(pictures_).address);
  const int64_t row_bytes = int64_t{from.size} * 3;
  // Pictures that are neighbours on both sides are sent as one copy: at first all that are kept, later the rest of a batch.
  int64_t begin = 0, end = 0, to = 0;
  const auto send_run = [&] {
    if (begin == end) return;
    const auto bytes = static_cast<size_t>((end - begin) * picture_bytes_);
    room.arrivals.push_back(
        device_.send_ahead(address + to * picture_bytes_, from.staged.data() + begin * picture_bytes_, bytes, room.used.get()));
    statistics_.sent += bytes;
  };
  for (int64_t i = 0; i < from.n; ++i) {
    const int64_t item = from.items[static_cast<size_t>(i)];
    int64_t at = kept_at_[static_cast<size_t>(item)];
    if (at < 0) {
      at = place_of(item, room.first + i);
      if (begin == end || end != i || to + (end - begin) != at) {
        send_run();
        begin = i, to = at;
      }
      end = i + 1;
    }
    room.pinned_places[2 * i] = at * picture_bytes_;
    room.pinned_places[2 * i + 1] = row_bytes;
  }
  send_run();
  statistics_.places += static_cast<uint64_t>(from.n);
  room.arrivals.push_back(device_.send_ahead(View(room.places).address, room.pinned_places,
                                             static_cast<size_t>(from.n) * 2 * sizeof(int64_t), room.used.get()));
}

}  // namespace mirilla::data
