// SPDX-License-Identifier: MIT
#include "kernels/core/error.h"

namespace mirilla {

namespace {

std::string with_hint(std::string_view message, std::string_view hint) {
  if (hint.empty()) return std::string(message);
  return fmt::format("{}\n  hint: {}", message, hint);
}

std::string full(std::string_view device, const OutOfMemory::Bytes& bytes) {
  std::string text = bytes.wanted == 0 ? fmt::format("the device '{}' has not enough memory left", device)
                                       : fmt::format("the device '{}' has no {} bytes left", device, bytes.wanted);
  if (bytes.total > 0) text += fmt::format(": {} are held and {} of {} are free", bytes.held, bytes.free, bytes.total);
  return text;
}

}  // namespace

Error::Error(std::string_view message, std::string_view hint)
    : std::runtime_error(with_hint(message, hint)), message_(message), hint_(hint) {}

OutOfMemory::OutOfMemory(std::string_view which, const Bytes& how_many, std::string_view hint)
    : DeviceError(full(which, how_many), hint), device(which), bytes(how_many) {}

}  // namespace mirilla
