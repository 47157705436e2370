// SPDX-License-Identifier: MIT
#include "apps/data_text.h"

#include <fmt/format.h>

#include <iostream>

#include "data/archive/names.h"

namespace mirilla::apps {

std::string folders_text(const std::vector<std::string>& folders) {
  std::vector<std::string> names;
  for (const std::string& folder : folders) names.push_back(data::shortened(folder) + "/");
  return data::listed(names);
}

std::string aside_text(const data::DataOrigin& origin, bool training) {
  std::string text;
  const auto add = [&](const std::string& more) { text += (text.empty() ? "; " : ", ") + more; };
  for (const data::PartFolder& folder : origin.aside) {
    const bool later = training && folder.part == data::Part::test && folder.has_classes();
    const int64_t pictures = folder.pictures + folder.unlabelled;
    add(fmt::format("{}/ ({}) is {}", data::shortened(folder.path), pictures, later ? "left for `mirilla eval`" : "not used"));
  }
  if (origin.outside > 0) add(fmt::format("{} outside the parts {} not used", origin.outside, origin.outside == 1 ? "is" : "are"));
  return text;
}

void say_notes(const data::Dataset& dataset) {
  for (const std::string& note : dataset.origin().notes) std::cerr << "note: " << note << '\n';
}

std::string missing_text(const data::Dataset& dataset, std::span<const int64_t> items) {
  const std::vector<int64_t> counts = dataset.class_counts(items);
  std::vector<std::string> missing;
  for (size_t c = 0; c < counts.size(); ++c)
    if (counts[c] == 0) missing.push_back(data::shortened(dataset.vocabulary()[c], 60));
  return data::listed(missing);
}

}  // namespace mirilla::apps
