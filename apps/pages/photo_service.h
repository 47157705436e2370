// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <list>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "data/pictures/picture.h"
#include "nn/files/model_file.h"

/// The answers of `mirilla serve`, without HTTP: photos are given as bytes, answers are JSON, PNG and HTML.
namespace mirilla::pages {

struct ServiceLimits {
  size_t photo_bytes = 32 << 20;    // of a file
  int64_t photo_pixels = 50000000;  // of a picture, read from its header before memory is allocated
  size_t photos = 32;               // kept at once, resized; the least recently used one is dropped
  int waiting = 8;                  // callers that wait for the model while another is served; further ones get Busy
};

/// Thrown if the queue is full.
class Busy : public Error {
 public:
  using Error::Error;
};

/// No such photo: it never existed, or newer ones replaced it.
class NotFound : public Error {
 public:
  using Error::Error;
};

/// What to explain about a photo.
struct Question {
  std::string layer = "layer4";
  std::optional<int> target = {};  // the likeliest class otherwise
  std::string method = "gradcam";
  std::string colormap = "magma";
};

/// One model and the photos given to it. May be called from many threads at once: one of them computes, the others wait in a
/// bounded queue. Functions that compute throw NotFinite if the network's answer is not finite.
class PhotoService {
 public:
  PhotoService(nn::LoadedModel& loaded, nn::Placement placement, ServiceLimits limits = {});

  const ServiceLimits& limits() const { return limits_; }

  /// {arch, size, classes, layers, methods, colormaps, most_bytes}: the possible questions. The layers are those with spatial positions, in
  /// order.
  const std::string& about() const { return about_; }

  /// {id, classes: [{index, name, probability}], width, height}: the likeliest first; and, for a photo with an EXIF orientation,
  /// {exif_orientation: 2 to 8, exif_rotated: whether it was}. Read as the model's info says. Throws DataError for a file that is no
  /// picture or too large.
  std::string add(std::span<const uint8_t> bytes);

  /// The resized picture, as a PNG.
  std::vector<uint8_t> picture(const std::string& id);

  /// {layer, class, index, probability, method, image: a PNG data URL, note: about a map that shows nothing}. Throws UsageError for a
  /// layer, class, method or colour table that does not exist; only methods with one or two passes are available.
  std::string explain(const std::string& id, const Question& question);

  /// The page of apps/pages/explore.h.
  std::string explore(const std::string& id);

 private:
  struct Photo {
    std::string id;
    data::Picture resized;
  };

  class Turn;

  data::Picture find(const std::string& id);
  void keep(Photo photo);

  nn::LoadedModel& loaded_;
  nn::Placement placement_;
  ServiceLimits limits_;
  std::string about_;
  std::mutex model_;  // held while it computes
  std::mutex lock_;   // guards the members below
  int waiting_ = 0;
  std::list<Photo> photos_;  // most recently used first
};

}  // namespace mirilla::pages
