// SPDX-License-Identifier: MIT
#pragma once

#include <string>

/// The rows of docs/parity.md. tools/parity runs this folder's tests and writes the page; nothing in it is typed by hand.
namespace mirilla::parity {

/// One line of the page: the difference of Mirilla from PyTorch, fastai or Pillow in one respect, and the allowed difference.
struct Row {
  std::string id;                 // "adam.fifty-steps": its section, and its name in mutations/*.json
  std::string what;               // "50 steps of Adam over odd shapes, momentum changing with each"
  std::string against;            // "fastai 2.8.12": from the oracle's file where it says so
  double measured = 0;            // 0 is equality
  double tolerance = 0;           // the row is green where measured <= tolerance; NaN never is
  std::string unit;               // "of the tensor's norm", "bytes that differ"
  std::string tolerance_because;  // "two f32 sums in different order"
};

/// Fails the running test where the row is red, and adds it to the file that MIRILLA_PARITY_ROWS names, one JSON object per line, with the
/// name of the test.
void report(const Row& row);

}  // namespace mirilla::parity
