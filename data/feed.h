// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstdint>
#include <exception>
#include <memory>
#include <vector>

#include "data/loader.h"
#include "engine/pinned.h"
#include "kernels/core/device.h"

namespace mirilla::data {

/// Statistics of a Feed.
struct FeedStatistics {
  int64_t kept = 0;     // pictures kept on the device
  uint64_t sent = 0;    // bytes of pictures sent to the device
  uint64_t places = 0;  // pictures in batches, sent or kept
};

/// A Loader's batches with their pictures on a device, one batch ahead of the one in use: the same bytes, which op::Augment gathers
/// from their places.
///
/// Pictures whose crop cannot move (square ones, and all of them outside training) have the same bytes in every epoch. As far as
/// `keep_bytes` allows, each of these is sent to its own place the first time it is used, and neither decoded nor sent again. The others
/// are made by the loader's workers in pinned memory and sent on the device's second stream into one of three rooms of one batch each, in
/// turn: one is read, one is filled, one may still be read by work started before. All are in one storage, whose address does not change.
///
/// next() waits for the loader, and until its last send has left the loader's memory; never for work that the main stream was given after
/// the batch before last. Start the work that uses a batch on the main stream before the following next(). One thread may use a Feed at a
/// time.
class Feed {
 public:
  /// Throws as Loader does, and OutOfMemory where the device has not enough memory.
  Feed(std::shared_ptr<const Dataset> dataset, const LoaderOptions& options, Device& device, uint64_t keep_bytes);
  ~Feed();
  Feed(const Feed&) = delete;
  Feed& operator=(const Feed&) = delete;

  int64_t batches_per_epoch() const { return loader_->batches_per_epoch(); }
  int64_t pictures_per_epoch() const { return loader_->pictures_per_epoch(); }
  /// As Loader::start.
  void start(int64_t epoch);
  /// As Loader::next: the batch has labels, items, and `pictures` and `places` on the device; the main stream follows their arrival.
  const Batch* next();

  FeedStatistics statistics() const { return statistics_; }

 private:
  /// Memory for one batch.
  struct Room {
    int64_t first = 0;                                  // index of its first picture in pictures_
    int64_t* pinned_places = nullptr;                   // (batch,2)
    Tensor places;                                      // (batch,2)
    std::unique_ptr<DeviceMark> used;                   // reached when the main stream has read it; null: not read
    std::vector<std::unique_ptr<DeviceMark>> arrivals;  // of the sends for it, in order
    Batch batch;
  };
  static constexpr size_t kRooms = 3;

  void* allocate_pinned(size_t bytes);
  bool fetch();
  void follow(int64_t batch);
  void send(const Batch& from, Room& room);
  int64_t place_of(int64_t item, int64_t in_room);
  void wait_for_sent();

  std::shared_ptr<const Dataset> dataset_;
  LoaderOptions options_;
  Device& device_;
  int64_t picture_bytes_;
  int64_t capacity_ = 0;                               // pictures that may be kept
  Tensor pictures_;                                    // (capacity + kRooms batch,S,S,3): those kept, then the rooms
  std::vector<std::unique_ptr<PinnedMemory>> pinned_;  // freed after the loader's workers have ended
  std::unique_ptr<Loader> loader_;
  std::array<Room, kRooms> rooms_;
  std::vector<int64_t> kept_at_;  // place of each item, or -1
  FeedStatistics statistics_;
  int64_t fetched_ = 0;  // batches since the Feed was made
  int64_t given_ = 0;    // of these, those that next() gave
  std::exception_ptr failure_;
  bool reading_ = false;  // the batch given last may still be in use
};

}  // namespace mirilla::data
