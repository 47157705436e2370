// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "data/archive/archive.h"
#include "data/items.h"
#include "data/pictures/picture.h"
#include "data/pictures/resize.h"
#include "data/split.h"
#include "kernels/core/error.h"

namespace mirilla::data {

/// A quarter of the machine's memory, at most 2 GiB.
uint64_t default_cache_bytes();

/// The default for the share of a data set's pictures that may be skipped because they do not decode.
inline constexpr double kUsualMaxBad = 0.05;

struct DatasetOptions {
  int resize = 256;                              // fastai's Resize(resize) for each picture
  uint64_t cache_bytes = default_cache_bytes();  // budget for decoded pictures, 8-bit; 0 keeps none
  std::vector<std::string> vocabulary;           // empty: the sorted labels of the training part
  bool exif_rotate = false;                      // DecodeOptions::exif_rotate of every picture
  double max_bad = kUsualMaxBad;                 // the share of pictures that may fail to decode; one always may, unless this is 0
};

/// Statistics of the cache. Counters only grow; `bytes` and `pictures` are the current contents.
struct CacheStatistics {
  int64_t hits = 0;
  int64_t decoded = 0;
  int64_t pictures = 0;
  uint64_t bytes = 0;
};

/// A picture that did not decode, and why.
struct BadPicture {
  int64_t item = 0;
  std::string path;
  std::string reason;
  std::string hint;
};

/// Thrown where more pictures than DatasetOptions::max_bad do not decode.
struct TooManyBad : DataError {
  using DataError::DataError;
};

/// Which folders of a source the pictures of a data set come from, and what was not used.
struct DataOrigin {
  std::vector<std::string> train;  // the folders of the pictures to train on, or to measure; empty: everything in no other part
  std::vector<std::string> valid;  // the folders of the pictures to validate with; empty: a split of `train`
  std::vector<PartFolder> aside;   // parts that are not used
  int64_t outside = 0;             // pictures in no part that are not used
  std::vector<std::string> notes;  // remarks for the user, one sentence each
};

/// Pictures with labels, split in two, and the decoded pictures as far as the budget allows.
///
/// The cache fills until the budget is used up and then keeps its contents: each epoch visits every picture once, so evicting would not
/// help. A picture whose square crop cannot move (see resize_crop_is_fixed) is kept already resized where that is smaller, or where all
/// items fit the budget when resized: then an epoch only copies. All const methods may be called from many threads at once.
class Dataset {
 public:
  /// Throws DataError where the vocabulary has to be derived and the training part has fewer than two labels, or where any item of the
  /// split has a label outside the vocabulary. ShapeError for an index outside the items or a resize below 1.
  Dataset(std::shared_ptr<const Source> source, std::vector<Item> items, Split split, DatasetOptions options = {}, DataOrigin origin = {});

  const Source& source() const { return *source_; }
  const std::vector<Item>& items() const { return items_; }
  const std::vector<std::string>& vocabulary() const { return options_.vocabulary; }
  /// The items to train on and to validate with, without those that scan() removed.
  const std::vector<int64_t>& train() const { return split_.train; }
  const std::vector<int64_t>& valid() const { return split_.valid; }
  int resize() const { return options_.resize; }
  const DataOrigin& origin() const { return origin_; }
  bool exif_rotate() const { return options_.exif_rotate; }
  /// The item's class, its place in the vocabulary.
  int64_t label(int64_t item) const { return labels_[static_cast<size_t>(item)]; }
  /// How many of `indices` belong to each class, in the order of the vocabulary.
  std::vector<int64_t> class_counts(std::span<const int64_t> indices) const;

  /// Decodes every item of the split once, which fills the cache, and removes those that fail from train() and valid(). Call it before the
  /// first Loader; without it a bad picture throws in the middle of an epoch. `progress(done, total)` is called from this
  /// thread from time to time; an exception from it ends the scan and is passed on. Throws TooManyBad where more of the items fail than
  /// options.max_bad allows, or all of them, and names the first few with reasons; DataError where the vocabulary was derived and a class
  /// of it has no picture left to train on.
  const std::vector<BadPicture>& scan(int threads, const std::function<void(int64_t done, int64_t total)>& progress = {});
  /// The items that the last scan() removed, in the order of the items.
  const std::vector<BadPicture>& bad_pictures() const { return bad_; }

  /// The whole decoded picture. Throws DataError where it does not decode.
  std::shared_ptr<const Picture> picture(int64_t item) const;
  /// The picture cropped and resized to (resize, resize, 3), with the given draw.
  void resized(int64_t item, CropDraw draw, std::span<uint8_t> out) const;

  /// Whether resized() gives the same for every draw. Known for an item after its first decoding, so after scan(); false before.
  bool crop_is_fixed(int64_t item) const;

  /// How many pictures of train() and valid() have an EXIF orientation that asks to turn them, whether or not options.exif_rotate turns
  /// them. Known for an item after its first decoding, so after scan().
  int64_t turned_pictures() const;

  CacheStatistics cache_statistics() const;

 private:
  struct Slot {
    std::shared_ptr<const Picture> picture;
    bool is_resized = false;
  };
  Slot cached(int64_t item) const;
  Picture decode_item(int64_t item) const;
  void keep(int64_t item, std::shared_ptr<const Picture> picture, bool is_resized) const;
  Slot load(int64_t item) const;
  void note_fixed(int64_t item, bool fixed) const;
  void drop_bad();
  void check_no_class_is_gone() const;

  std::shared_ptr<const Source> source_;
  std::vector<Item> items_;
  Split split_;
  DatasetOptions options_;
  DataOrigin origin_;
  bool own_vocabulary_ = false;  // the vocabulary was derived
  std::vector<int64_t> labels_;
  std::vector<BadPicture> bad_;
  bool prefer_resized_ = false;

  mutable std::mutex mutex_;  // guards the members below
  mutable std::vector<Slot> slots_;
  mutable std::vector<bool> fixed_, turned_;
  mutable CacheStatistics statistics_;
};

/// What training needs to open its data: the source, its training part, the split.
struct TrainingData {
  int64_t limit_per_class = 0;
  double valid_pct = 0.2;
  uint64_t split_seed = 42;
  std::string split_file;  // empty: random_split
  bool valid_part = true;  // whether to validate with a part `val`, where it exists, instead of a share; ignored with a split file
  DatasetOptions options;
};
/// Finds the items of the source's part `train` (everything outside of other parts, if it has none) and the items to validate with: the
/// part `val` where it exists and is wanted, otherwise a split of the former. Not scanned yet. Throws DataError also where the split
/// leaves a class without a picture to train on.
std::shared_ptr<Dataset> open_training(std::shared_ptr<const Source> source, const TrainingData& wanted);

/// All items of the source's part `test` (everything except the part `pred`, if it has none) as the validation part, under a
/// model's vocabulary. Throws DataError for a label outside it.
std::shared_ptr<Dataset> open_evaluation(std::shared_ptr<const Source> source, DatasetOptions options, int64_t limit_per_class = 0);

/// The pictures that open_training with the same arguments validates with, in the same order, and no others: to look again at what a
/// training run saw. Under a model's vocabulary (wanted.options). Throws DataError for a label outside it, or where the split leaves none.
std::shared_ptr<Dataset> open_validation(std::shared_ptr<const Source> source, const TrainingData& wanted);

}  // namespace mirilla::data
