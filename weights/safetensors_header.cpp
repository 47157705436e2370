// SPDX-License-Identifier: MIT
#include "weights/safetensors_header.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <unordered_set>

#include "kernels/core/error.h"
#include "weights/file_bytes.h"

namespace mirilla::weights {
namespace {

/// Receives the JSON event by event; the header has only a handful of forms, so each event is either the one expected or an error.
class HeaderReader : public nlohmann::json::json_sax_t {
 public:
  HeaderReader(SafetensorsHeader& header, std::string_view origin) : header_(header), origin_(origin) {}

  bool null() override { return refuse("null"); }
  bool boolean(bool) override { return refuse("true or false"); }
  bool number_integer(number_integer_t value) override { return refuse(fmt::format("the number {}", value)); }
  bool number_float(number_float_t, const string_t& text) override { return refuse(fmt::format("the number {}", text)); }
  bool binary(binary_t&) override { return refuse("binary data"); }

  bool number_unsigned(number_unsigned_t value) override {
    if (place_ != Place::kShape && place_ != Place::kOffsets) return refuse(fmt::format("the number {}", value));
    const size_t most = place_ == Place::kShape ? size_t{Shape::kMaxRank} : 2;
    if (numbers_.size() == most) fail(fmt::format("tensor {} has more than {} numbers in its {}", shown(name_), most, field_));
    if (place_ == Place::kShape && value > static_cast<uint64_t>(INT64_MAX))
      fail(fmt::format("tensor {} has an extent of {}", shown(name_), value));
    numbers_.push_back(value);
    return true;
  }

  bool string(string_t& value) override {
    if (place_ == Place::kMetadata) {
      header_.metadata[field_] = std::move(value);
    } else if (place_ == Place::kTensor && field_ == "dtype") {
      entry_.type = &type_named(value);
    } else {
      return refuse(fmt::format("the text {}", shown(value)));
    }
    return true;
  }

  bool start_object(size_t) override {
    if (place_ == Place::kStart) {
      place_ = Place::kNames;
    } else if (place_ == Place::kNames) {
      place_ = name_ == "__metadata__" ? Place::kMetadata : Place::kTensor;
      entry_ = {};
      fields_.clear();
    } else {
      return refuse("an object");
    }
    return true;
  }

  bool key(string_t& text) override {
    std::string& place = place_ == Place::kNames ? name_ : field_;
    auto& seen = place_ == Place::kNames ? names_ : fields_;
    if (!seen.insert(text).second) fail(fmt::format("the header has {} twice", shown(text)));
    if (place_ == Place::kTensor && text != "dtype" && text != "shape" && text != "data_offsets") {
      fail(fmt::format("tensor {} has {} beside dtype, shape and data_offsets", shown(name_), shown(text)));
    }
    place = std::move(text);
    return true;
  }

  bool start_array(size_t) override {
    if (place_ != Place::kTensor || field_ == "dtype") return refuse("a list");
    place_ = field_ == "shape" ? Place::kShape : Place::kOffsets;
    numbers_.clear();
    return true;
  }

  bool end_array() override {
    if (place_ == Place::kShape) {
      take_shape();
    } else {
      if (numbers_.size() != 2) fail(fmt::format("tensor {} has {} data_offsets instead of two", shown(name_), numbers_.size()));
      entry_.begin = numbers_[0];
      entry_.end = numbers_[1];
    }
    place_ = Place::kTensor;
    return true;
  }

  bool end_object() override {
    if (place_ == Place::kTensor) {
      if (fields_.size() != 3) fail(fmt::format("tensor {} lacks one of dtype, shape and data_offsets", shown(name_)));
      entry_.name = name_;
      header_.entries.push_back(std::move(entry_));
    }
    place_ = place_ == Place::kNames ? Place::kEnd : Place::kNames;
    return true;
  }

  bool parse_error(size_t position, const std::string&, const nlohmann::detail::exception&) override {
    fail(fmt::format("the header is not JSON from byte {} on", position));
  }

 private:
  enum class Place { kStart, kNames, kMetadata, kTensor, kShape, kOffsets, kEnd };

  [[noreturn]] void fail(std::string_view why) const {
    throw WeightsError(fmt::format("{} is not a readable safetensors file: {}", shown(origin_), why));
  }

  [[noreturn]] bool refuse(std::string_view what) const { fail(fmt::format("its header has {} where {} is expected", what, expected())); }

  std::string expected() const {
    switch (place_) {
      case Place::kStart: return "an object of tensors";
      case Place::kNames: return fmt::format("the object of {}", shown(name_));
      case Place::kMetadata: return "a text of the metadata";
      case Place::kTensor: return fmt::format("the {} of tensor {}", field_, shown(name_));
      default: return fmt::format("a whole number in the {} of tensor {}", field_, shown(name_));
    }
  }

  const StoredType& type_named(std::string_view text) const {
    const StoredType* const type = stored_type(text);
    if (type == nullptr || type->safetensors != text)
      fail(fmt::format("tensor {} is of dtype {}, and only floating-point numbers, integers up to 32 bits, I64 and BOOL are read",
                       shown(name_), shown(text)));
    return *type;
  }

  void take_shape() {
    std::vector<int64_t> extents(numbers_.begin(), numbers_.end());
    try {
      entry_.shape = Shape(std::span<const int64_t>(extents));
    } catch (const ShapeError&) {
      fail(fmt::format("tensor {} has a shape ({}) that is too large", shown(name_), fmt::join(extents, ",")));
    }
  }

  SafetensorsHeader& header_;
  std::string_view origin_;
  Place place_ = Place::kStart;
  std::string name_;   // the tensor being read
  std::string field_;  // its field, or the metadata's key
  SafetensorsEntry entry_;
  std::vector<uint64_t> numbers_;
  std::unordered_set<std::string> names_;
  std::unordered_set<std::string> fields_;
};

}  // namespace

SafetensorsHeader parse_safetensors_header(std::string_view json, std::string_view origin) {
  SafetensorsHeader header;
  HeaderReader reader(header, origin);
  nlohmann::json::sax_parse(json.begin(), json.end(), &reader);
  return header;
}

}  // namespace mirilla::weights
