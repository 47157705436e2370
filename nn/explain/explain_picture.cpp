// SPDX-License-Identifier: MIT
#include "nn/explain/explain_picture.h"

#include "data/draw/figure.h"
#include "nn/explain/explain_files.h"
#include "nn/run/evaluate.h"
#include "nn/run/predict.h"

namespace mirilla::nn {

ExplainedPicture::ExplainedPicture(Explanation explanation, ExplainOptions options, std::string class_name, data::Picture shown)
    : explanation_(std::move(explanation)), options_(std::move(options)), class_name_(std::move(class_name)), shown_(std::move(shown)) {}

double ExplainedPicture::probability() const { return probability_of(explanation_); }

data::Picture ExplainedPicture::figure() const {
  std::vector<data::Panel> panels{{shown_, "picture"}};
  for (data::Panel& panel : panels_of(explanation_, shown_, options_)) panels.push_back(std::move(panel));
  return data::figure(panels, {.title = fmt::format("{}: {:.0f} %", class_name_, 100 * probability())});
}

ExplainedPicture explain(Classifier& model, const data::Picture& picture, const ExplainOptions& options) {
  const Tensor input = prepare(picture, model.info, placement_of(*model.network));
  Explanation explanation = explain(*model.network, input, options).at(0);
  const auto index = static_cast<size_t>(explanation.target.terms[0].index);
  return {std::move(explanation), options, model.classes().at(index), resized_picture(picture, model.info)};
}

}  // namespace mirilla::nn
