// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "data/dataset.h"
#include "engine/tensor.h"

namespace mirilla::data {

/// The pictures of one step: on the host, or on a device if a Feed sent them. Owned by the Loader or Feed that made it.
struct Batch {
  int64_t n = 0;
  int size = 0;                 // the data set's resize
  std::vector<uint8_t> pixels;  // (n, size, size, 3); empty if the pixels are elsewhere:
  std::span<uint8_t> staged;    // in LoaderOptions::memory
  Tensor pictures, places;      // (M,size,size,3) u8 and (n,2) i64 on a device, as Augment takes them
  std::vector<int64_t> labels;  // (n), classes
  std::vector<int64_t> items;   // (n), indices of the data set's items
};

struct LoaderOptions {
  int64_t batch_size = 128;
  bool training = true;  // shuffled, random crops, an incomplete last batch dropped; else in order, centre crops, all kept
  int threads = 1;       // workers that decode and resize
  int prefetch = 2;      // batches made ahead of the one in use
  uint64_t seed = 42;
  bool random_crops = false;  // also outside training, for test-time augmentation
  /// Called once per buffer for the memory of a batch's pictures, which are then in Batch::staged. The memory outlives the Loader.
  std::function<void*(size_t bytes)> memory = {};
};

/// Batches of a data set's training or validation part, made ahead by worker threads.
///
///   loader.start(epoch);
///   while (const Batch* batch = loader.next()) { ... }
///
/// The batches depend on (data set, seed, epoch, batch size) and not on the number of threads: the order is a Fisher-Yates shuffle with
/// RandomKey{seed, kShuffle, epoch}, crops take RandomKey{seed, kCrop, epoch, item}. All buffers (prefetch + 1 batches) are made once and
/// reused. One thread may use a Loader at a time; it may be destroyed or restarted in the middle of an epoch.
class Loader {
 public:
  /// Takes dataset->train() or valid() as they are now: scan() first. Throws UsageError for a batch size, thread count or prefetch below 1.
  Loader(std::shared_ptr<const Dataset> dataset, const LoaderOptions& options);
  ~Loader();
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  /// Zero where a training part is smaller than one batch: then an epoch has no step, and the caller should say so.
  int64_t batches_per_epoch() const;
  /// Pictures of an epoch: in training without those of the dropped last batch.
  int64_t pictures_per_epoch() const;

  /// Begins an epoch from its first batch; the rest of the epoch before is dropped. Keep counting epochs over all fits of a run, or two
  /// fits would see the same order and crops. Where leave_out is true for an item, its pixels are not made, and its place in
  /// the batch is undefined.
  void start(int64_t epoch, std::shared_ptr<const std::vector<bool>> leave_out = {});
  /// The next batch, or nullptr after the last. Waits until it is ready. It stays valid until the next call of next() or start(). Throws
  /// what the worker threw (DataError for a picture that does not decode); after that, only start() may be called.
  const Batch* next();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

/// The order in which an epoch visits `items`: a permutation that depends only on seed and epoch.
std::vector<int64_t> shuffled(std::vector<int64_t> items, uint64_t seed, int64_t epoch);

}  // namespace mirilla::data
