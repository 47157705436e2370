// SPDX-License-Identifier: MIT
// network PHOTOS PHOTO: a small network of our own, trained on the processor and on the executor of the CUDA kernels, watched and
// explained.
#include <mirilla/mirilla.h>

#include <iostream>

using namespace mirilla;

// Three convolutions and a linear layer. Children are run by calling them; what is called can be watched.
class SmallNet final : public nn::Module {
 public:
  SmallNet(int classes, nn::Placement at)
      : body_(add("body", std::make_unique<nn::Sequential>())),
        pool_(add("pool", std::make_unique<nn::AdaptiveAvgPool2d>())),
        fc_(add("fc", std::make_unique<nn::Linear>(32, classes, true, at))) {
    for (const auto& [in, out] : {std::pair(3, 8), {8, 16}, {16, 32}}) {
      body_.append(std::make_unique<nn::Conv2d>(nn::Conv2d::Spec{.in = in, .out = out, .conv = {.stride = 2, .padding = 1}}, at));
      body_.append(std::make_unique<nn::BatchNorm2d>(out, at));
      body_.append(std::make_unique<nn::ReLU>());
    }
    nn::initialise(*this, 42);
  }
  std::string_view kind() const override { return "SmallNet"; }
  // Two groups: the head learns faster, and alone where the body is frozen.
  std::vector<std::vector<nn::NamedTensor>> parameter_groups() const override {
    std::vector<std::vector<nn::NamedTensor>> groups(2);
    for (const nn::NamedTensor& parameter : parameters()) groups[parameter.name.starts_with("fc.") ? 1 : 0].push_back(parameter);
    return groups;
  }

 protected:
  Tensor forward(const Tensor& x) override { return fc_(flatten(pool_(body_(x)))); }  // (N,H,W,3) -> (N,classes)

 private:
  nn::Sequential& body_;
  nn::AdaptiveAvgPool2d& pool_;
  nn::Linear& fc_;
};

int main(int argc, char** argv) try {
  if (argc != 3) throw UsageError("expected two arguments: a folder of photos, and a photo to explain");
  const auto photos = data::open(argv[1], {.resize = 32, .size = 32});
  const auto photo = data::load_picture(argv[2]);
  for (const char* name : {"cpu", "simt"}) {
    auto net = std::make_unique<SmallNet>(static_cast<int>(photos.classes().size()), nn::Placement{open_device(name)});
    auto model = nn::classifier(std::move(net), photos.classes());
    nn::Learner learn(model, photos, {.optimizer = nn::sgd({.nesterov = true}), .batch_size = 8});
    learn.fit_one_cycle(2, 0.05);
    const nn::Evaluation evaluation = learn.evaluate();

    const nn::Watch watch = model.network->watch("body.8");  // the last ReLU
    const auto why = nn::explain(model, photo, {.layers = {"body.8"}});
    std::cout << fmt::format("{}: loss {:.3f}, {} looks at {} of {}\n", name, evaluation.loss, why.class_name(), watch.name(),
                             to_string(watch.activation().shape()));
    data::write_png(fmt::format("why-{}.png", name), why.figure());
  }
} catch (const Error& error) {
  std::cerr << "network: " << error.what() << '\n';
  return 1;
}
