// SPDX-License-Identifier: MIT
#include <fmt/format.h>

#include <cstdio>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "kernels/core/error.h"

// Mirilla's results on photos, for photos.py, which compares them with Pillow and fastai:
//
//   parity_data split ZIP SEED      the validation part of `mirilla train --seed SEED`'s split, one path per line
//   parity_data pixels ZIP RESIZE   every picture, train/ and then test/: its path and a newline, then its RESIZE * RESIZE * 3 bytes,
//                                   resized as in validation
namespace {

using namespace mirilla::data;

void print_split(const std::string& zip, uint64_t seed) {
  const auto dataset = open_training(open_source(zip), {.split_seed = seed});
  for (const int64_t item : dataset->valid()) fmt::print("{}\n", dataset->items()[static_cast<size_t>(item)].path);
}

void print_pixels(const Dataset& dataset, const std::vector<int64_t>& items) {
  std::vector<uint8_t> pixels(static_cast<size_t>(dataset.resize()) * static_cast<size_t>(dataset.resize()) * 3);
  for (const int64_t item : items) {
    dataset.resized(item, {}, pixels);
    fmt::print("{}\n", dataset.items()[static_cast<size_t>(item)].path);
    if (std::fwrite(pixels.data(), 1, pixels.size(), stdout) != pixels.size()) throw mirilla::Error("stdout takes no more");
  }
}

void print_pixels(const std::string& zip, int resize) {
  const auto source = open_source(zip);
  const auto training = open_training(source, {.options = {.resize = resize, .cache_bytes = 0}});
  print_pixels(*training, training->train());
  print_pixels(*training, training->valid());
  const auto testing = open_evaluation(source, {.resize = resize, .cache_bytes = 0, .vocabulary = training->vocabulary()});
  print_pixels(*testing, testing->valid());
}

}  // namespace

int main(int count, char** arguments) {
  const std::vector<std::string> words(arguments + 1, arguments + count);
  try {
    if (words.size() == 3 && words[0] == "split") return print_split(words[1], std::stoull(words[2])), 0;
    if (words.size() == 3 && words[0] == "pixels") return print_pixels(words[1], std::stoi(words[2])), 0;
    fmt::print(stderr, "usage: parity_data split ZIP SEED | parity_data pixels ZIP RESIZE\n");
    return 2;
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
}
