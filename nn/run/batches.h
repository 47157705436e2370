// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "data/feed.h"
#include "data/loader.h"

namespace mirilla::nn {

/// The source of batches. Interface over data::Loader, so that a test or another source can replace it.
class Batches {
 public:
  virtual ~Batches() = default;
  virtual int64_t batches_per_epoch() const = 0;
  virtual int64_t pictures_per_epoch() const = 0;
  virtual void start(int64_t epoch) = 0;
  /// nullptr after the last; valid until the next call.
  virtual const data::Batch* next() = 0;
};

class LoaderBatches final : public Batches {
 public:
  LoaderBatches(std::shared_ptr<const data::Dataset> dataset, const data::LoaderOptions& options) : loader_(std::move(dataset), options) {}
  int64_t batches_per_epoch() const override { return loader_.batches_per_epoch(); }
  int64_t pictures_per_epoch() const override { return loader_.pictures_per_epoch(); }
  void start(int64_t epoch) override { loader_.start(epoch); }
  const data::Batch* next() override { return loader_.next(); }

 private:
  data::Loader loader_;
};

/// Batches whose pictures are on a device.
class FeedBatches final : public Batches {
 public:
  FeedBatches(std::shared_ptr<const data::Dataset> dataset, const data::LoaderOptions& options, Device& device, uint64_t keep_bytes)
      : feed_(std::move(dataset), options, device, keep_bytes) {}
  int64_t batches_per_epoch() const override { return feed_.batches_per_epoch(); }
  int64_t pictures_per_epoch() const override { return feed_.pictures_per_epoch(); }
  void start(int64_t epoch) override { feed_.start(epoch); }
  const data::Batch* next() override { return feed_.next(); }

 private:
  data::Feed feed_;
};

/// How much device memory may be used for pictures that are the same in every epoch.
struct DevicePictures {
  /// Empty: a quarter of the free memory on a device with its own memory; on the host, where the loader's pictures already are, nothing.
  std::optional<uint64_t> bytes;
};
/// "auto", "off" or a number of bytes, which may end in K, M or G (of 1024). Throws UsageError.
DevicePictures parse_device_pictures(std::string_view text);

/// The batches for a model on `device`: a Feed if the device has its own memory, or if a number of bytes was requested; else
/// the Loader itself. The first part gets its share first.
struct PartOptions {
  std::shared_ptr<const data::Dataset> dataset;
  data::LoaderOptions loading;
};
std::unique_ptr<Batches> make_batches(const PartOptions& part, Device& device, DevicePictures pictures = {.bytes = 0});
std::pair<std::unique_ptr<Batches>, std::unique_ptr<Batches>> make_batches(const PartOptions& train, const PartOptions& valid,
                                                                           Device& device, DevicePictures pictures);

}  // namespace mirilla::nn
