// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>
#include <zip.h>

#include <algorithm>
#include <cmath>
#include <deque>
#include <fstream>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>

#include "data/archive/archive.h"
#include "data/dataset.h"
#include "data/pictures/decode.h"
#include "data/write/png_write.h"
#include "kernels/devices.h"
#include "nn/explain/grad_cam.h"
#include "nn/run/evaluate.h"
#include "nn/run/predict.h"
#include "tests/nn/synthetic.h"
#include "tests/oracle/named_values.h"
#include "tests/parity/row.h"
#include "weights/layout.h"
#include "weights/safetensors.h"

// Files of fastai's learn.save, made again byte for byte except for the zip around them. tests/oracle/make_files.py says what is stored of
// them, what the pictures are, and what fastai gave.
namespace mirilla::nn {
namespace {

const std::string kFolder = MIRILLA_SOURCE_DIR "/tests/oracle/files/";

std::string slurp(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file) << path;
  return {std::istreambuf_iterator<char>(file), {}};
}

template <class T>
std::string bytes_of(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

// Writes the same file as fastai's learn.save.
class SavedFile {
 public:
  SavedFile(const std::string& kind, const weights::StateDict& expected) : kind_(kind), expected_(expected) {
    const ResNet model({.classes = 6, .seed = std::nullopt}, {.device = open_device("cpu")});
    for (const auto& all : {model.parameters(), model.buffers()})
      for (const NamedTensor& named : all) shapes_.emplace(named.name, named.tensor.shape());
    entries_ = nlohmann::json::parse(slurp(kFolder + "storages.json")).at(kind);
  }

  void write(const std::filesystem::path& path) {
    int code = 0;
    zip_t* archive = zip_open(path.c_str(), ZIP_CREATE | ZIP_EXCL, &code);
    ASSERT_NE(archive, nullptr) << path;
    for (const auto& entry : entries_) {
      const std::string name = kind_ + "/" + entry[0].get<std::string>();
      const std::string& content = contents_.emplace_back(content_of(entry));
      const zip_int64_t index =
          zip_file_add(archive, name.c_str(), zip_source_buffer(archive, content.data(), content.size(), 0), ZIP_FL_ENC_UTF_8);
      ASSERT_GE(index, 0) << zip_strerror(archive);
      zip_set_file_compression(archive, static_cast<zip_uint64_t>(index), ZIP_CM_STORE, 0);
    }
    ASSERT_EQ(zip_close(archive), 0) << zip_strerror(archive);
    contents_.clear();
    expect_checksums(path);
  }

 private:
  std::string content_of(const nlohmann::json& entry) const {
    if (entry[0] == "data.pkl") return slurp(kFolder + kind_ + ".pkl");
    return entry[1].is_string() ? entry[1].get<std::string>() : storage_of(entry[1].at("of"));
  }
  std::string storage_of(const nlohmann::json& of) const {
    if (of.is_array()) {
      const auto count = of[1].get<size_t>();
      if (of[0] == "i64") return bytes_of(std::vector<int64_t>(count, of[2].get<int64_t>()));
      return bytes_of(std::vector<float>(count, of[2].get<float>()));
    }
    const auto name = of.get<std::string>();
    if (name.starts_with("norms:")) {
      const auto values = expected_.at("norms." + name.substr(6)).values<float>();
      return bytes_of(std::vector<float>(values.begin(), values.end()));
    }
    const Shape& shape = shapes_.at(name);
    const std::vector<float> values = test::values_for(name, shape);
    if (shape.rank() != 4) return bytes_of(values);
    std::vector<float> oihw(values.size());
    weights::krsc_to_oihw(std::span<const float>(values), std::span(oihw), shape);
    return bytes_of(oihw);
  }
  // Every storage has the checksum that it has in fastai's own file.
  void expect_checksums(const std::filesystem::path& path) const {
    int code = 0;
    zip_t* archive = zip_open(path.c_str(), ZIP_RDONLY, &code);
    ASSERT_NE(archive, nullptr) << path;
    for (const auto& entry : entries_) {
      if (!entry[1].is_object()) continue;
      zip_stat_t stat;
      ASSERT_EQ(zip_stat(archive, (kind_ + "/" + entry[0].get<std::string>()).c_str(), 0, &stat), 0) << entry;
      EXPECT_EQ(stat.crc, entry[1].at("crc32").get<uint32_t>()) << entry;
    }
    zip_discard(archive);
  }

  std::string kind_;
  const weights::StateDict& expected_;
  nlohmann::json entries_;
  std::map<std::string, Shape> shapes_;
  std::deque<std::string> contents_;  // libzip reads them in place when the zip is closed
};

class FilesParity : public testing::Test {
 protected:
  static constexpr int kPictures = 12;

  static data::Picture draw_picture(int k) {
    constexpr int kCells[] = {2, 5, 11, 29, 3, 60, 7, 17, 41, 4, 90, 23};
    data::Picture picture(96 + 16 * (k % 4), 100 + 24 * (k % 3));
    const int cell = kCells[k], rows = (picture.height + cell - 1) / cell, columns = (picture.width + cell - 1) / cell;
    const std::vector<double> colours = test::units("files.picture." + std::to_string(k), int64_t{rows} * columns * 3);
    for (int y = 0; y < picture.height; ++y)
      for (int x = 0; x < picture.width; ++x)
        for (int c = 0; c < 3; ++c)
          picture.at(x, y)[c] = static_cast<uint8_t>(256 * colours[static_cast<size_t>(((y / cell) * columns + x / cell) * 3 + c)]);
    return picture;
  }
  std::string wanted_text(const std::string& key) const { return expected_.metadata.at(key); }
  std::vector<std::string> vocabulary() const {
    std::vector<std::string> names;
    std::istringstream text(wanted_text("vocab"));
    for (std::string name; std::getline(text, name, ',');) names.push_back(name);
    return names;
  }

  // Writes the pictures into class folders and loads the model as with --vocab, --resize and --size.
  LoadedModel load(const std::string& kind) {
    for (int k = 0; k < kPictures; ++k) {
      const auto folder = folder_ / "pictures" / vocabulary()[static_cast<size_t>(k % 6)];
      std::filesystem::create_directories(folder);
      pictures_.push_back(folder / fmt::format("{:02}.png", k));
      data::write_png(pictures_.back().string(), draw_picture(k));
    }
    const auto path = folder_ / (kind + ".pth");
    SavedFile(kind, expected_).write(path);
    return load_model(path,
                      {.vocabulary = vocabulary(), .resize = std::stoi(wanted_text("resize")), .size = std::stoi(wanted_text("size"))},
                      {.device = open_device("cpu")});
  }

  // The largest difference of a probability.
  double probabilities_apart(LoadedModel& loaded) const {
    const Predictions predictions = predict_files(*loaded.model, pictures_, loaded.info, {.batch_size = 5});
    const auto wanted = expected_.at("probabilities").values<float>();
    double largest = 0;
    for (size_t k = 0; k < kPictures; ++k)
      for (size_t c = 0; c < 6; ++c) {
        const double apart = std::abs(double{predictions.pictures.at(k).probabilities.at(c)} - wanted[6 * k + c]);
        if (!(apart <= largest)) largest = apart;
      }
    return largest;
  }
  // The number of pictures whose class differs from fastai's, plus the difference in the number of right ones.
  double classes_apart(LoadedModel& loaded) const {
    const auto dataset = data::open_evaluation(data::open_source((folder_ / "pictures").string()),
                                               {.resize = loaded.info.resize, .vocabulary = loaded.info.vocabulary});
    LoaderBatches batches(dataset, {.batch_size = 5, .training = false, .threads = 2});
    const Evaluation evaluation = evaluate(*loaded.model, batches, loaded.info);
    const auto wanted = expected_.at("probabilities").values<float>();
    double differing =
        std::abs(static_cast<double>(evaluation.correct) - std::round(kPictures * expected_.at("accuracy").values<float>()[0]));
    for (const ItemResult& item : evaluation.items) {
      const std::string& path = dataset->items()[static_cast<size_t>(item.item)].path;
      const auto of_picture = wanted.subspan(6 * std::stoul(std::filesystem::path(path).stem()), 6);
      differing += std::max_element(of_picture.begin(), of_picture.end()) - of_picture.begin() == item.predicted ? 0 : 1;
    }
    EXPECT_EQ(evaluation.n, kPictures);
    return differing;
  }
  // The largest difference of all maps, relative to the expected map's range.
  double maps_apart(LoadedModel& loaded) const {
    double largest = 0;
    int maps = 0;
    for (int k = 0; k < kPictures; ++k)
      for (int target = 0; target < 6; ++target) {
        const std::string key = fmt::format("cam.{}.{}.", k, target);
        if (!expected_.contains(key + "layer4")) continue;
        const Tensor input =
            prepare(data::load_picture(pictures_[static_cast<size_t>(k)].string()), loaded.info, placement_of(*loaded.model));
        for (const CamMap& map : grad_cam(*loaded.model, input, {"model[0]", "model[0][-2]"}, target, CamStyle::course).maps) {
          const auto wanted = expected_.at(key + map.layer).values<float>();
          const auto [low, high] = std::minmax_element(wanted.begin(), wanted.end());
          for (size_t i = 0; i < wanted.size(); ++i) {
            const double apart = std::abs(double{map.values.at(i)} - wanted[i]) / (*high - *low);
            if (!(apart <= largest)) largest = apart;
          }
          ++maps;
        }
      }
    EXPECT_GE(maps, 8);
    return largest;
  }

  void report(parity::Row row) const {
    row.against = fmt::format("fastai {}", wanted_text("made_with").substr(wanted_text("made_with").find("fastai ") + 7));
    parity::report(row);
  }

  TemporaryFolder folder_;
  std::vector<std::filesystem::path> pictures_;
  weights::StateDict expected_ = weights::read_safetensors(kFolder + "expected.safetensors");
};

TEST_F(FilesParity, ReadsWhatLearnSaveWrote) {
  LoadedModel loaded = load("plain");
  report({.id = "files.fastai-predict",
          .what = "a file of learn.save(with_opt=False): probabilities of 12 pictures",
          .measured = probabilities_apart(loaded),
          .tolerance = 1e-4,
          .unit = "of 1",
          .tolerance_because = "f32 sums in another order through 18 layers"});
  report({.id = "files.fastai-accuracy",
          .what = "the same by eval: which class, and how many are right",
          .measured = classes_apart(loaded),
          .tolerance = 0,
          .unit = "pictures",
          .tolerance_because = "no two probabilities of a picture are close"});
  report({.id = "files.fastai-grad-cam",
          .what = "the same: Grad-CAM at model[0] and model[0][-2], 4 pictures",
          .measured = maps_apart(loaded),
          .tolerance = 1e-3,
          .unit = "of the map's range",
          .tolerance_because = "as the probabilities; a ReLU near 0 may fall on the other side"});
}

TEST_F(FilesParity, ReadsWhatLearnSaveWroteWithItsOptimizer) {
  LoadedModel loaded = load("optimizer");
  report({.id = "files.fastai-with-optimizer",
          .what = "a file of learn.save after fine_tune, Adam's state in it: probabilities of 12 pictures",
          .measured = probabilities_apart(loaded),
          .tolerance = 1e-4,
          .unit = "of 1",
          .tolerance_because = "f32 sums in another order through 18 layers"});
}

}  // namespace
}  // namespace mirilla::nn
