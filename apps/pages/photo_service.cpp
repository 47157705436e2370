// SPDX-License-Identifier: MIT
#include "apps/pages/photo_service.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <numeric>
#include <random>

#include "apps/pages/channel_images.h"
#include "apps/pages/explore.h"
#include "data/pictures/decode.h"
#include "data/write/png_write.h"
#include "nn/explain/explain_files.h"
#include "nn/inspect/summary.h"
#include "nn/run/predict.h"

namespace mirilla::pages {

namespace {

using Json = nlohmann::ordered_json;

// The methods with one or two passes: the others would make all callers wait.
constexpr std::array<std::string_view, 9> kQuick = {"gradcam",  "gradcam++",    "hirescam", "xgradcam",      "layercam",
                                                    "eigencam", "eigengradcam", "guided",   "guided-gradcam"};
constexpr std::array<std::string_view, 4> kTables = {"magma", "viridis", "inferno", "jet"};

std::string text_of(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

// Cannot be guessed, so another page in the same browser cannot request it.
std::string new_id() {
  std::random_device source;
  return fmt::format("{:08x}{:08x}{:08x}{:08x}", source(), source(), source(), source());
}

std::vector<std::string> layers_with_places(nn::Module& model, int size) {
  std::vector<std::string> layers;
  for (const nn::ModuleSummary& one : nn::summarise(model, size))
    if (!one.name.empty() && one.output.rank() == 4 && one.output[1] * one.output[2] > 1) layers.push_back(one.name);
  return layers;
}

Json classes_of(const std::vector<float>& probabilities, const std::vector<std::string>& vocabulary) {
  constexpr size_t kMost = 20;
  std::vector<size_t> order(probabilities.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return probabilities[a] > probabilities[b]; });
  order.resize(std::min(order.size(), kMost));
  Json all = Json::array();
  for (const size_t i : order) all.push_back({{"index", i}, {"name", vocabulary[i]}, {"probability", rounded(probabilities[i])}});
  return all;
}

std::string data_url(const data::Picture& picture) { return "data:image/png;base64," + base64(data::encode_png(picture)); }

}  // namespace

// The model, for as long as this lives. Throws Busy if too many callers wait already.
class PhotoService::Turn {
 public:
  explicit Turn(PhotoService& service) : service_(service) {
    {
      const std::lock_guard guard(service_.lock_);
      if (service_.waiting_ > service_.limits_.waiting)
        throw Busy(fmt::format("the model is busy, and {} requests are already waiting", service_.limits_.waiting),
                   "ask again in a moment");
      ++service_.waiting_;
    }
    service_.model_.lock();
  }
  ~Turn() {
    service_.model_.unlock();
    const std::lock_guard guard(service_.lock_);
    --service_.waiting_;
  }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

 private:
  PhotoService& service_;
};

PhotoService::PhotoService(nn::LoadedModel& loaded, nn::Placement placement, ServiceLimits limits)
    : loaded_(loaded), placement_(placement), limits_(limits) {
  about_ = text_of({{"arch", loaded.model->spec().arch},
                    {"size", loaded.info.size},
                    {"classes", loaded.info.vocabulary},
                    {"layers", layers_with_places(*loaded.model, loaded.info.size)},
                    {"methods", kQuick},
                    {"colormaps", kTables},
                    {"most_bytes", limits.photo_bytes}});
}

std::string PhotoService::add(std::span<const uint8_t> bytes) {
  if (bytes.size() > limits_.photo_bytes)
    throw DataError(fmt::format("the file has {} MB, but at most {} are allowed", bytes.size() >> 20, limits_.photo_bytes >> 20));
  const Turn turn(*this);  // decoding too: it takes memory
  const bool exif_rotate = loaded_.info.exif_rotate;
  const auto [picture, orientation] =
      data::decode_file(bytes, "the photo", {.exif_rotate = exif_rotate, .most_pixels = limits_.photo_pixels});
  Photo photo{.id = new_id(), .resized = nn::resized_picture(picture, loaded_.info)};
  const std::vector<nn::Prediction> predictions = predict(*loaded_.model, std::span(&picture, 1), loaded_.info);
  Json answer = {{"id", photo.id},
                 {"classes", classes_of(predictions[0].probabilities, loaded_.info.vocabulary)},
                 {"width", picture.width},
                 {"height", picture.height}};
  if (orientation != 1) answer.update({{"exif_orientation", orientation}, {"exif_rotated", exif_rotate}});
  keep(std::move(photo));
  return text_of(answer);
}

void PhotoService::keep(Photo photo) {
  const std::lock_guard guard(lock_);
  photos_.push_front(std::move(photo));
  while (photos_.size() > limits_.photos) photos_.pop_back();
}

data::Picture PhotoService::find(const std::string& id) {
  const std::lock_guard guard(lock_);
  const auto found = std::find_if(photos_.begin(), photos_.end(), [&](const Photo& photo) { return photo.id == id; });
  if (found == photos_.end())
    throw NotFound("this photo is no longer stored", fmt::format("only the last {} photos are kept: add it again", limits_.photos));
  photos_.splice(photos_.begin(), photos_, found);
  return photos_.front().resized;
}

std::vector<uint8_t> PhotoService::picture(const std::string& id) { return data::encode_png(find(id)); }

std::string PhotoService::explain(const std::string& id, const Question& question) {
  const data::Picture shown = find(id);
  if (std::find(kQuick.begin(), kQuick.end(), question.method) == kQuick.end())
    throw UsageError(fmt::format("'{}' is not a method that this page offers", question.method),
                     fmt::format("available are {}", fmt::join(kQuick, ", ")));
  nn::ExplainOptions options;
  options.method = question.method;
  options.layers = {question.layer};
  options.colors = &data::colormap_of(question.colormap);
  if (question.target) options.targets = {{{{*question.target}}}};
  const Turn turn(*this);
  const std::vector<nn::Explanation> all = nn::explain(*loaded_.model, prepare(shown, loaded_.info, placement_), options);
  const nn::Explanation& one = all.at(0);
  const int index = one.target.terms.at(0).index;
  return text_of({{"layer", question.layer},
                  {"class", loaded_.info.vocabulary[static_cast<size_t>(index)]},
                  {"index", index},
                  {"probability", rounded(nn::probability_of(one))},
                  {"method", question.method},
                  {"image", data_url(nn::panels_of(one, shown, options).at(0).picture)},
                  {"note", one.maps.empty() ? "" : one.maps[0].note}});
}

std::string PhotoService::explore(const std::string& id) {
  const data::Picture shown = find(id);
  const Turn turn(*this);
  return explore_page(explore_document(*loaded_.model, shown, loaded_.info, "photo", {}, placement_));
}

}  // namespace mirilla::pages
