// SPDX-License-Identifier: MIT
#pragma once

#include <fmt/format.h>

#include <cstddef>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace mirilla {

/// What every function of the project throws: one sentence that says what was expected and what was found, and a hint that says
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

/// A device that does not exist, lacks an operation, or failed.
struct DeviceError : Error {
  using Error::Error;
};

/// A device's memory is full: the bytes asked for, and how the memory is used.
struct OutOfMemory : DeviceError {
  struct Bytes {
    size_t wanted = 0;
    size_t held = 0;   // by this program
    size_t free = 0;   // 0 where unknown
    size_t total = 0;  // of the device; 0 where unknown
  };
  OutOfMemory(std::string_view device, const Bytes& bytes, std::string_view hint = "a smaller batch or smaller pictures take less");

  /// The same error with a hint that says what to change.
  OutOfMemory with_hint(std::string_view hint) const { return OutOfMemory(device, bytes, hint); }

  std::string device;
  Bytes bytes;
};

/// Pictures, archives, splits: something is wrong with the user's data.
struct DataError : Error {
  using Error::Error;
};

/// A weights file that cannot be read, or that does not fit the model.
struct WeightsError : Error {
  using Error::Error;
};

/// A command line that is not valid. Exit code 2; every other Error gives 1.
struct UsageError : Error {
  using Error::Error;
};

/// Ctrl-C or another signal. The caller decides which work is kept. Exit code 128 + the signal's number, as in a shell: 130 for Ctrl-C.
struct Interrupted : Error {
  using Error::Error;
};

}  // namespace mirilla
