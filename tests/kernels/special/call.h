// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "tests/kernels/cuda/support.h"

/// The sweep over the table of operations with special values (not finite, zeros, subnormals): tests/oracle/make_special.py made its cases
/// and describes them.
namespace mirilla::test {

/// One tensor of a case.
struct Operand {
  std::string name, kind, role;
  Values healthy;

  bool is_read() const { return role != "out"; }
  bool is_written() const { return role != "in"; }
  bool is_float() const { return kind == "t" || kind == "f32"; }
};

/// The tensors of a case on one device, by name.
class OperationCall {
 public:
  OperationCall(Device& device, const nlohmann::json& attributes, DType float_type)
      : device_(device), attributes_(attributes), type_(float_type) {}

  Backend& backend() const { return device_.backend(); }
  const nlohmann::json& attributes() const { return attributes_; }
  bool flag(const char* name) const { return attributes_.at(name).get<bool>(); }
  int integer(const char* name) const { return attributes_.at(name).get<int>(); }
  /// A number, or a special value by its name.
  double number(const char* name) const;

  void add(const std::string& name, const Values& values);
  bool has(const std::string& name) const { return tensors_.contains(name); }
  /// An absent tensor is an empty view.
  ConstView in(const std::string& name) const { return has(name) ? tensors_.at(name)->const_view() : ConstView{}; }
  View out(const std::string& name) const { return has(name) ? tensors_.at(name)->view() : View{}; }
  std::vector<double> read(const std::string& name) const { return tensors_.at(name)->read(); }
  /// Memory for an intermediate value, or for numbers that a row makes itself; freed with the call.
  View scratch(const Shape& shape) { return keep({shape, {}, DType::f64}); }
  View keep(const Values& values);
  std::vector<double> read(const View& kept) const;

 private:
  Device& device_;
  nlohmann::json attributes_;
  DType type_;
  std::map<std::string, std::unique_ptr<DeviceTensor>> tensors_;
  std::vector<std::unique_ptr<DeviceTensor>> scratch_;
};

/// The special value of this name in a type: nan, inf, -inf, -0, least (the smallest subnormal), subnormal, largest, overflow (the largest
/// too).
double special_value(std::string_view name, DType type);

/// How each operation of the table is called. Fused operations that a device lacks are composed as in engine/ops.
const std::map<std::string, std::function<void(OperationCall&)>, std::less<>>& rows();

}  // namespace mirilla::test
