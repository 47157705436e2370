// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>
#include <utility>

#include "data/loader.h"

namespace mirilla::nn {

/// Where batches come from. data::Loader behind a face, so that a test or another source can stand in.
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

}  // namespace mirilla::nn
