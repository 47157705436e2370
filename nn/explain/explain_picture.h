// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "data/pictures/picture.h"
#include "nn/explain/explain.h"
#include "nn/files/classifier.h"

namespace mirilla::nn {

/// What a classifier says of one picture, and why.
class ExplainedPicture {
 public:
  ExplainedPicture(Explanation explanation, ExplainOptions options, std::string class_name, data::Picture shown);

  /// The class that is explained: the likeliest, unless a target was named.
  const std::string& class_name() const { return class_name_; }
  double probability() const;
  /// Maps or pixels, logits and the target.
  const Explanation& explanation() const { return explanation_; }
  /// The picture as the network saw it and a panel for each map, under the class and its probability.
  data::Picture figure() const;

 private:
  Explanation explanation_;
  ExplainOptions options_;
  std::string class_name_;
  data::Picture shown_;
};

/// nn/explain/explain.h for one decoded picture of any size, which is resized as in validation. Throws what that throws.
ExplainedPicture explain(Classifier& model, const data::Picture& picture, const ExplainOptions& options = {});

}  // namespace mirilla::nn
