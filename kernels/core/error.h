// SPDX-License-Identifier: MIT
#pragma once

#include <fmt/format.h>

#include <cstddef>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace mirilla {

/// What every function of the project throws: one sentence that says what was expected and what came, and a hint that says
/// what to do about it. `what()` gives both, the hint on its own line:
///
///   there is no device 'gpu'
///     hint: the devices here are auto, cpu, simt, reference
///
/// The library never prints to the terminal, exits or aborts; apps/ turns an Error into text and an exit code.
class Error : public std::runtime_error {
 public:
  explicit Error(std::string_view message, std::string_view hint = {});

  const std::string& message() const { return message_; }
  const std::string& hint() const { return hint_; }

 private:
  std::string message_;
  std::string hint_;
};

/// Shapes or dtypes that do not fit together: a mistake in the calling code.
struct ShapeError : Error {
  using Error::Error;
};

/// A device that is not there, lacks an operation, or failed.
struct DeviceError : Error {
  using Error::Error;
};

/// A device's memory is full: what was asked for, and where the rest is. In bytes.
struct OutOfMemory : DeviceError {
  struct Bytes {
    size_t wanted = 0;
    size_t held = 0;   // by this program
    size_t free = 0;   // 0 where nobody knows
    size_t total = 0;  // that the device has; 0 where nobody knows
  };
  OutOfMemory(std::string_view device, const Bytes& bytes, std::string_view hint = "a smaller batch or smaller pictures take less");

  /// The same error with a hint that says what to change.
  OutOfMemory with_hint(std::string_view hint) const { return OutOfMemory(device, bytes, hint); }

  std::string device;
  Bytes bytes;
};

/// Pictures, archives, splits: the user's data is not what it should be.
struct DataError : Error {
  using Error::Error;
};

/// A weights file that cannot be read, or does not fit the model.
struct WeightsError : Error {
  using Error::Error;
};

/// A command line that makes no sense. Exit code 2; every other Error gives 1.
struct UsageError : Error {
  using Error::Error;
};

/// Ctrl-C or another signal. The work so far is kept where the caller says so. Exit code 128 + its number, the shell's own: 130 for Ctrl-C.
struct Interrupted : Error {
  using Error::Error;
};

}  // namespace mirilla
