// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <list>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "data/picture.h"
#include "nn/files/model_file.h"

/// What `mirilla serve` answers, without any HTTP: photos come as bytes, answers go as JSON, PNG and HTML.
namespace mirilla::pages {

struct ServiceLimits {
  size_t photo_bytes = 32 << 20;    // of a file
  int64_t photo_pixels = 50000000;  // of a picture, told from its header before memory is taken
  size_t photos = 32;               // kept at once, resized; the one that was asked about longest ago goes
  int waiting = 8;                  // callers that wait for the model while another is served; one more gets Busy
};

/// The model has as many callers waiting as it may have.
class Busy : public Error {
 public:
  using Error::Error;
};

/// No such photo: never there, or gone for newer ones.
class NotFound : public Error {
 public:
  using Error::Error;
};

/// What to explain of a photo.
struct Question {
  std::string layer = "layer4";
  std::optional<int> target = {};  // the likeliest class otherwise
  std::string method = "gradcam";
  std::string colormap = "magma";
};

/// One model and the photos that were shown to it. May be called from many threads at once: one of them computes, the others wait, in a
/// queue that is bounded. What computes throws NotFinite where the network's answer is not finite.
class PhotoService {
 public:
  PhotoService(nn::LoadedModel& loaded, nn::Placement placement, ServiceLimits limits = {});

  const ServiceLimits& limits() const { return limits_; }

  /// {arch, size, classes, layers, methods, colormaps, most_bytes}: what may be asked. The layers are those with places, in their order.
  const std::string& about() const { return about_; }

  /// {id, classes: [{index, name, probability}], width, height}: the likeliest first; and of a photo whose EXIF asks for it to be turned,
  /// {exif_orientation: 2 to 8, exif_rotated: whether it was}. Read as the model's info says. Throws DataError for what is no picture or
  /// too large.
  std::string add(std::span<const uint8_t> bytes);

  /// The resized picture, as a PNG.
  std::vector<uint8_t> picture(const std::string& id);

  /// {layer, class, index, probability, method, image: a PNG data URL, note: of a map that shows nothing}. Throws UsageError for a layer,
  /// class, method or colour table that is not there; only methods of one pass or two are.
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
  std::mutex lock_;   // of what follows
  int waiting_ = 0;
  std::list<Photo> photos_;  // asked about last first
};

}  // namespace mirilla::pages
