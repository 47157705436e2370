// SPDX-License-Identifier: MIT
#pragma once

#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>

#include "kernels/core/error.h"
#include "weights/state_dict.h"

namespace mirilla::weights {

inline std::filesystem::path oracle(const std::string& name) {
  return std::filesystem::path(MIRILLA_SOURCE_DIR) / "tests/oracle/weights" / name;
}

inline std::string slurp(const std::filesystem::path& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

inline void spill(const std::filesystem::path& path, std::string_view bytes) {
  std::filesystem::remove(path);  // some file systems flush a file that is truncated and rewritten: thousands take seconds
  std::ofstream stream(path, std::ios::binary);
  stream.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

inline std::span<const std::byte> as_bytes(std::string_view text) { return std::as_bytes(std::span(text.data(), text.size())); }

/// A folder for one test, removed afterwards.
class Folder {
 public:
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "mirilla-weights-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw Error("no temporary folder");
    path_ = name;
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }
  size_t count() const {
    return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(path_), std::filesystem::directory_iterator()));
  }

 private:
  std::filesystem::path path_;
};

/// The message of the Error that `action` throws; the test fails if it throws none or something else.
template <class E = WeightsError, class F>
std::string sentence_of(F&& action) {
  try {
    action();
  } catch (const E& error) {
    return error.message();
  } catch (const std::exception& error) {
    ADD_FAILURE() << "another exception: " << error.what();
    return {};
  }
  ADD_FAILURE() << "nothing was thrown";
  return {};
}

inline std::string hex(std::span<const std::byte> bytes) {
  std::string text;
  for (const std::byte b : bytes) text += fmt::format("{:02x}", std::to_integer<unsigned>(b));
  return text;
}

/// Compares what was read with what PyTorch wrote according to make_weights.py: names, dtypes, shapes, every bit.
inline void expect_as_written(const StateDict& state, const std::string& file) {
  const auto expected = nlohmann::json::parse(slurp(oracle("expected.json"))).at(file);
  EXPECT_EQ(state.size(), expected.size());
  for (const auto& [name, facts] : expected.items()) {
    const Array* array = state.find(name);
    ASSERT_NE(array, nullptr) << name;
    const auto extents = facts.at("shape").get<std::vector<int64_t>>();
    EXPECT_EQ(array->shape(), Shape(std::span<const int64_t>(extents))) << name;
    EXPECT_EQ(name_of(array->dtype()), facts.at("dtype").get<std::string>()) << name;
    EXPECT_EQ(hex(array->bytes()), facts.at("hex").get<std::string>()) << name;
  }
}

}  // namespace mirilla::weights
