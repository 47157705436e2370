// SPDX-License-Identifier: MIT
#include "apps/pictures.h"

#include "apps/numbers.h"

#include <fmt/format.h>

#include <iostream>

#include "kernels/host/threads.h"

namespace mirilla::apps {

void say_turned(int64_t pictures, bool exif_rotate) {
  if (pictures == 0 || exif_rotate) return;
  const bool one = pictures == 1;
  std::cerr << fmt::format(
      "note: the EXIF data of {} picture{} asks for a rotation; {} used as stored, as in fastai; --exif-rotate turns {}\n", pictures,
      one ? "" : "s", one ? "it is" : "they are", one ? "it" : "them");
}

void add_max_bad(CLI::App& command, double& share) {
  constexpr Bounds<double> kShare{0, 1, "a share from 0 to 1"};
  add_number(command, "--max-bad", share, kShare,
             "the share of pictures that may fail to decode and are left out; at least one may, except with 0")
      ->type_name("SHARE");
}

void scan(data::Dataset& dataset, ProgressLine& progress) {
  try {
    dataset.scan(host_threads(), [&](int64_t done, int64_t total) { progress(done, total); });
  } catch (const data::TooManyBad& error) {
    throw data::TooManyBad(error.message(), error.hint() + " --max-bad allows more");
  }
  for (const data::BadPicture& bad : dataset.bad_pictures()) say_skipped(bad.path, bad.reason, bad.hint);
  say_turned(dataset.turned_pictures(), dataset.exif_rotate());
}

void add_scan(nlohmann::ordered_json& document, const data::Dataset& dataset) {
  for (const data::BadPicture& bad : dataset.bad_pictures()) document["skipped"].push_back(skipped_json(bad.path, bad.reason));
  if (dataset.turned_pictures() > 0) document["turned"] = dataset.turned_pictures();
}

void add_orientation(nlohmann::ordered_json& document, int orientation, const nn::ModelInfo& info) {
  if (orientation != 1) document.update({{"exif_orientation", orientation}, {"exif_rotated", info.exif_rotate}});
}

namespace {

// A reason mostly begins with the file's name.
std::string_view without_name(std::string_view reason, std::string_view name) {
  if (!reason.starts_with(name) || !reason.substr(name.size()).starts_with(": ")) return reason;
  return reason.substr(name.size() + 2);
}

}  // namespace

void say_skipped(std::string_view name, std::string_view reason, std::string_view hint) {
  std::cerr << fmt::format("skipped {}: {}{}\n", name, without_name(reason, name), hint.empty() ? "" : fmt::format(" ({})", hint));
}

nlohmann::ordered_json skipped_json(std::string_view name, std::string_view reason) {
  return {{"file", name}, {"error", without_name(reason, name)}};
}

std::optional<DataError> unused_error(std::span<const nn::BadFile> bad, size_t asked) {
  if (bad.empty()) return std::nullopt;
  if (asked == 1) return DataError(bad[0].reason, bad[0].hint);
  for (const nn::BadFile& one : bad) say_skipped(one.file, one.reason, one.hint);
  return DataError(fmt::format("{} of {} pictures could not be read", bad.size(), asked),
                   bad.size() < asked ? "the others are done" : "the lines above say why");
}

}  // namespace mirilla::apps
