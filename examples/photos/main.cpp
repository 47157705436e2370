// SPDX-License-Identifier: MIT
// photos PHOTOS WEIGHTS PHOTO [EPOCHS]: fine-tunes a ResNet on a folder of photos, says what one photo is, and draws why.
#include <mirilla/mirilla.h>

#include <iostream>

using namespace mirilla;

int main(int argc, char** argv) try {
  if (argc < 4) throw UsageError("expected three arguments: a folder of photos, weights, and a photo to explain");
  auto photos = data::open(argv[1], {.valid = 0.2, .resize = 256, .size = 128});
  auto model = nn::classifier(argv[2], photos.classes(), open_device("auto"));
  nn::Learner learn(model, photos, {.batch_size = 16});
  learn.add(nn::Table(std::cout));
  learn.add(nn::SaveBest("best.safetensors"));
  learn.fine_tune(argc > 4 ? std::stoi(argv[4]) : 10, 1e-3);

  auto photo = data::load_picture(argv[3]);
  auto why = nn::explain(model, photo, {.layers = {"layer4"}});
  std::cout << why.class_name() << '\n';
  data::write_png("why.png", why.figure());
} catch (const Error& error) {
  std::cerr << "photos: " << error.what() << '\n';
  return 1;
}
