// SPDX-License-Identifier: MIT
// predict MODEL PHOTO PICTURE.png: what a model predicts for a photo, and a picture that explains it.
#include <mirilla/mirilla.h>

#include <iostream>

using namespace mirilla;

int main(int argc, char** argv) try {
  if (argc != 4) throw UsageError("expected three arguments: a model, a photo, and the picture to write");
  Device& device = open_device("auto");
  const nn::LoadedModel loaded = nn::load_model(argv[1], {}, {.device = device});
  const data::Picture photo = data::load_picture(argv[2]);

  const nn::Prediction prediction = nn::predict(*loaded.model, {&photo, 1}, loaded.info).at(0);
  const auto best = static_cast<size_t>(prediction.index);
  std::cout << fmt::format("{}  {:.1f} %\n", loaded.info.vocabulary[best], 100 * prediction.probabilities[best]);

  const nn::ExplainOptions options{.layers = {"layer4", "layer3"}};
  const nn::Explanation why = nn::explain(*loaded.model, nn::prepare(photo, loaded.info, {.device = device}), options).at(0);
  const std::vector<data::Panel> panels = nn::panels_of(why, nn::resized_picture(photo, loaded.info), options);
  data::write_png(argv[3], data::figure(panels, {.title = loaded.info.vocabulary[best]}));
} catch (const Error& error) {
  std::cerr << "predict: " << error.what() << '\n';
  return 1;
}
