// SPDX-License-Identifier: MIT
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "weights/names.h"
#include "weights/state_dict.h"

namespace mirilla::weights {

/// A parameter or buffer that a model has: its name, and its shape in PyTorch's layout (a convolution's weights as OIHW; see layout.h).
struct Wanted {
  std::string name;
  Shape shape;
};

/// A wanted name and the name under which the file has it.
struct Matched {
  std::string name;
  std::string source;
};

struct Misshaped {
  std::string name;
  std::string source;
  Shape wanted;
  Shape came;
};

/// How a file fits a model. Every wanted name is in matched, missing, misshaped or fresh, and every name of the file in matched,
/// unexpected, misshaped or left_out; except `num_batches_tracked`, which no computation here needs and whose absence on either side is
/// fine.
struct Report {
  std::vector<Matched> matched;
  std::vector<std::string> missing;     // wanted names, as the model spells them
  std::vector<std::string> unexpected;  // the file's names, as the file spells them
  std::vector<Misshaped> misshaped;
  std::vector<std::string> left_out;  // the file's names of a classifier that is not loaded, and of counters beside a removed prefix
  std::vector<std::string> fresh;     // wanted names that therefore keep their initial values
  std::vector<std::string> remarks;   // "fc (200 classes) is left out: the new head has 6"
};

/// Compares names and shapes. A classifier (fc, or the head's last linear layer) made for another number of classes is left out with a
/// remark, not counted as missing or mis-shaped; so is a file's fc where the model has a head instead.
Report match(std::span<const Wanted> wanted, const StateDict& state);

/// A few lines for the user: how many match, the remarks, and up to six names of each other kind, then a count. Ends without a newline.
std::string describe(const Report& report);

/// Throws WeightsError where the file does not fit: nothing matches, a shape differs, or a missing or fresh name does not begin
/// with one of `may_be_missing` ("head." for a body trained elsewhere, "fc." for a new classifier). `origin` names the file.
void require_fit(const Report& report, std::string_view origin, std::span<const std::string_view> may_be_missing = {});

}  // namespace mirilla::weights
