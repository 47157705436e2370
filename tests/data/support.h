// SPDX-License-Identifier: MIT
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "data/pictures/picture.h"
#include "kernels/core/error.h"

namespace mirilla::data::test {

using Bytes = std::vector<uint8_t>;

inline std::filesystem::path oracle(const std::string& name) {
  return std::filesystem::path(MIRILLA_SOURCE_DIR) / "tests/oracle/data" / name;
}

inline Bytes read_bytes(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("no file " + path.string());
  return {std::istreambuf_iterator<char>(file), {}};
}

inline nlohmann::json oracle_json(const std::string& name) {
  const Bytes bytes = read_bytes(oracle(name));
  return nlohmann::json::parse(bytes.begin(), bytes.end());
}

/// A P6 file as the oracle writes them, read without the decoder under test.
inline Picture oracle_picture(const std::string& name) {
  const Bytes bytes = read_bytes(oracle(name));
  std::istringstream header(std::string(bytes.begin(), bytes.begin() + std::min<ptrdiff_t>(32, static_cast<ptrdiff_t>(bytes.size()))));
  std::string magic;
  int width = 0, height = 0, levels = 0;
  header >> magic >> width >> height >> levels;
  Picture picture(width, height);
  if (magic != "P6" || levels != 255 || bytes.size() < picture.pixels.size()) throw std::runtime_error("no oracle picture " + name);
  std::copy(bytes.end() - static_cast<ptrdiff_t>(picture.pixels.size()), bytes.end(), picture.pixels.begin());
  return picture;
}

inline Bytes as_ppm(const Picture& picture) {
  const std::string header = "P6 " + std::to_string(picture.width) + " " + std::to_string(picture.height) + " 255\n";
  Bytes bytes(header.begin(), header.end());
  bytes.insert(bytes.end(), picture.pixels.begin(), picture.pixels.end());
  return bytes;
}

/// A picture whose pixels show its number, and whether rows, columns or channels were mixed up.
inline Picture numbered_picture(int number, int width, int height) {
  Picture picture(width, height);
  for (size_t i = 0; i < picture.pixels.size(); ++i)
    picture.pixels[i] = static_cast<uint8_t>(37 * static_cast<size_t>(number) + i * (i / 7 + 3));
  return picture;
}

inline uint32_t crc32(const Bytes& bytes) {
  uint32_t crc = 0xFFFFFFFFu;
  for (const uint8_t byte : bytes) {
    crc ^= byte;
    for (int k = 0; k < 8; ++k) crc = (crc >> 1) ^ (crc & 1 ? 0xEDB88320u : 0);
  }
  return ~crc;
}

/// A zip without compression, written by the tests so that they can also write invalid ones.
class ZipMaker {
 public:
  ZipMaker& add(const std::string& name, const Bytes& content) {
    return add(name, content, crc32(content), static_cast<uint32_t>(content.size()));
  }
  ZipMaker& add(const std::string& name, const Bytes& content, uint32_t crc, uint32_t stated_size) {
    return add(name, content, crc, stated_size, {});
  }
  /// The header fields of a file: bit 0 of the flags is "encrypted", bit 11 "the name is UTF-8"; method 0 is stored.
  struct Says {
    uint32_t flags = 0, method = 0, unix_mode = 0;
  };
  ZipMaker& add(const std::string& name, const Bytes& content, Says says) {
    return add(name, content, crc32(content), static_cast<uint32_t>(content.size()), says);
  }
  ZipMaker& add(const std::string& name, const Bytes& content, uint32_t crc, uint32_t stated_size, Says says) {
    const size_t at = body_.size();
    Bytes common;
    for (const auto& [value, width] : fields(says, crc, static_cast<uint32_t>(content.size()), stated_size, name.size()))
      put(common, value, width);
    put(body_, 0x04034b50, 4);
    append(body_, common);
    append(body_, Bytes(name.begin(), name.end()));
    append(body_, content);
    put(directory_, 0x02014b50, 4);
    put(directory_, says.unix_mode ? 3 << 8 | 20 : 20, 2);  // made by Unix, or by DOS
    append(directory_, common);
    for (const auto& [value, width] : {std::pair{0u, 2}, {0u, 2}, {0u, 2}, {says.unix_mode << 16, 4}, {static_cast<uint32_t>(at), 4}})
      put(directory_, value, width);
    append(directory_, Bytes(name.begin(), name.end()));
    ++count_;
    return *this;
  }
  Bytes bytes() const {
    Bytes zip = body_;
    append(zip, directory_);
    put(zip, 0x06054b50, 4);
    for (const auto& [value, width] : {std::pair{0u, 2},
                                       {0u, 2},
                                       {count_, 2},
                                       {count_, 2},
                                       {static_cast<uint32_t>(directory_.size()), 4},
                                       {static_cast<uint32_t>(body_.size()), 4},
                                       {0u, 2}}) {
      put(zip, value, width);
    }
    return zip;
  }

 private:
  using Field = std::pair<uint32_t, int>;
  static std::array<Field, 10> fields(Says says, uint32_t crc, uint32_t packed, uint32_t size, size_t name) {
    return {Field{20, 2}, {says.flags, 2}, {says.method, 2},
            {0, 2},       {0x5a21, 2},     {crc, 4},
            {packed, 4},  {size, 4},       {static_cast<uint32_t>(name), 2},
            {0, 2}};
  }
  static void put(Bytes& out, uint32_t value, int width) {
    for (int i = 0; i < width; ++i) out.push_back(static_cast<uint8_t>(value >> (8 * i)));
  }
  static void append(Bytes& out, const Bytes& more) { out.insert(out.end(), more.begin(), more.end()); }

  Bytes body_;
  Bytes directory_;
  uint32_t count_ = 0;
};

/// A folder that is removed with the test.
class TempFolder {
 public:
  TempFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "mirilla-test-XXXXXX").string();
    if (!mkdtemp(pattern.data())) throw std::runtime_error("no temporary folder");
    path_ = pattern;
  }
  ~TempFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path write(const std::string& name, const Bytes& bytes) const {
    const auto path = path_ / name;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary).write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    return path;
  }

 private:
  std::filesystem::path path_;
};

/// The sentence of the error of type E that f throws.
template <class E, class F>
std::string sentence_of(F&& f) {
  try {
    f();
  } catch (const E& e) {
    return e.message();
  }
  ADD_FAILURE() << "nothing of that kind was thrown";
  return {};
}

inline Bytes text(std::string_view s) { return {s.begin(), s.end()}; }

}  // namespace mirilla::data::test
