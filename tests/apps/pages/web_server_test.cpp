// SPDX-License-Identifier: MIT
#include "apps/pages/web_server.h"

#include <gtest/gtest.h>

#include <fstream>
#include <future>
#include <limits>
#include <nlohmann/json.hpp>
#include <thread>

#include "data/pictures/decode.h"
#include "data/write/png_write.h"
#include "kernels/devices.h"
#include "tests/apps/pages/web_client.h"
#include "tests/oracle/named_values.h"

namespace mirilla::pages {
namespace {

using Json = nlohmann::json;
using test::Answer;

nn::LoadedModel small_model() {
  nn::LoadedModel loaded{
      .model = std::make_unique<nn::ResNet>(nn::ResNetSpec{.seed = std::nullopt}, nn::Placement{.device = open_device("cpu")}),
      .info = {},
      .notes = {}};
  test::fill_by_name(*loaded.model);
  loaded.model->evaluate();
  loaded.info = {.vocabulary = {"a", "b", "</script>", "d", "e", "f"}, .resize = 40, .size = 64};
  return loaded;
}

std::string png_of(int width, int height) {
  data::Picture picture(width, height);
  for (size_t i = 0; i < picture.pixels.size(); ++i) picture.pixels[i] = static_cast<uint8_t>(i * 7);
  const std::vector<uint8_t> bytes = data::encode_png(picture);
  return {bytes.begin(), bytes.end()};
}

// A server of a network without training, for all tests here.
class WebServer : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (!can_serve()) return;
    model = std::make_unique<nn::LoadedModel>(small_model());
    service = std::make_unique<PhotoService>(*model, nn::Placement{.device = open_device("cpu")},
                                             ServiceLimits{.photo_bytes = 1 << 20, .photo_pixels = 1000000, .photos = 4, .waiting = 3});
    std::promise<std::string> ready;
    stop = false;
    server = std::thread([&ready] {
      serve(
          *service, {.port = 0, .threads = 12, .timeout_s = 1, .upload_s = 2}, [&ready](const std::string& at) { ready.set_value(at); },
          stop);
    });
    const std::string address = ready.get_future().get();
    port = std::stoi(address.substr(address.rfind(':') + 1));
  }
  static void TearDownTestSuite() {
    stop = true;
    if (server.joinable()) server.join();
    service.reset();
    model.reset();
  }
  void SetUp() override {
    if (!can_serve()) GTEST_SKIP() << "built without cpp-httplib";
  }
  void TearDown() override {
    if (!can_serve()) return;
    EXPECT_EQ(test::get(port, "/api/about").status, 200) << "the server is no longer well";
  }

  static Json add(const std::string& bytes) { return Json::parse(test::post(port, "/api/photos", bytes).body); }
  static void expect_error(const Answer& answer, int status, const std::string& word) {
    EXPECT_EQ(answer.status, status) << answer.head << answer.body;
    const Json json = Json::parse(answer.body, nullptr, false);
    ASSERT_TRUE(json.is_object()) << answer.body;
    EXPECT_NE(json["error"].get<std::string>().find(word), std::string::npos) << answer.body;
  }

  inline static std::unique_ptr<nn::LoadedModel> model;
  inline static std::unique_ptr<PhotoService> service;
  inline static std::thread server;
  inline static std::atomic<bool> stop;
  inline static int port = 0;
};

TEST_F(WebServer, APhotoGetsItsClassesItsMapAndItsPage) {
  const Json photo = add(png_of(60, 50));
  ASSERT_EQ(photo["classes"].size(), 6u);
  EXPECT_EQ(photo["width"], 60);
  EXPECT_GE(photo["classes"][0]["probability"].get<double>(), photo["classes"][1]["probability"].get<double>());
  const std::string path = "/api/photos/" + photo["id"].get<std::string>();
  const Answer picture = test::get(port, path + "/picture.png");
  ASSERT_EQ(picture.status, 200);
  EXPECT_EQ(data::decode({reinterpret_cast<const uint8_t*>(picture.body.data()), picture.body.size()}, "p.png").width, 40);
  const Json why = Json::parse(test::get(port, path + "/why?layer=layer3&class=2&colormap=jet").body);
  EXPECT_EQ(why["layer"], "layer3");
  EXPECT_EQ(why["class"], "</script>");
  EXPECT_TRUE(why["image"].get<std::string>().starts_with("data:image/png;base64,"));
  const Answer page = test::get(port, path + "/explore");
  EXPECT_EQ(page.status, 200);
  EXPECT_NE(page.body.find("application/json"), std::string::npos);
}

TEST_F(WebServer, APhotoThatAsksToBeTurnedIsSeenAsStoredAndSaysSo) {
  std::ifstream file(MIRILLA_SOURCE_DIR "/tests/oracle/data/exif.jpg", std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  const Json stored = add(bytes);
  EXPECT_EQ(stored["exif_orientation"], 6);
  EXPECT_EQ(stored["exif_rotated"], false);
  model->info.exif_rotate = true;
  const Json turned = add(bytes);
  model->info.exif_rotate = false;
  EXPECT_EQ(turned["exif_rotated"], true);
  EXPECT_EQ(turned["width"], stored["height"]);
  EXPECT_FALSE(add(png_of(20, 20)).contains("exif_orientation"));
}

TEST_F(WebServer, EveryAnswerForbidsFramesSniffingAndOtherSites) {
  for (const char* path : {"/", "/api/about", "/nowhere"}) {
    const std::string head = test::get(port, path).head;
    for (const char* header : {"Content-Security-Policy: default-src 'none'", "X-Content-Type-Options: nosniff", "X-Frame-Options: DENY",
                               "Referrer-Policy: no-referrer", "Cross-Origin-Resource-Policy: same-origin"})
      EXPECT_NE(head.find(header), std::string::npos) << path << " lacks " << header << "\n" << head;
  }
}

TEST_F(WebServer, AnotherNameOrAnotherSiteIsRefused) {
  expect_error(test::get(port, "/", "Host: evil.example\r\n"), 403, "name");
  expect_error(test::get(port, "/", "Host: evil.example:80\r\n"), 403, "name");
  expect_error(test::get(port, "/", ""), 403, "name");
  EXPECT_EQ(test::get(port, "/", "Host: 127.0.0.1:5\r\n").status, 200);
  const std::string other = "Host: localhost\r\nOrigin: http://evil.example\r\n", own = "Host: localhost\r\nOrigin: http://localhost\r\n";
  expect_error(test::post(port, "/api/photos", png_of(8, 8), other), 403, "page");
  EXPECT_EQ(test::post(port, "/api/photos", png_of(8, 8), own).status, 200);
}

TEST_F(WebServer, WhatIsNoPictureIsRefusedWithASentence) {
  const std::string good = png_of(30, 30);
  expect_error(test::post(port, "/api/photos", ""), 400, "empty");
  expect_error(test::post(port, "/api/photos", "just text, and a lot of it"), 400, "the photo");
  expect_error(test::post(port, "/api/photos", good.substr(0, good.size() / 2)), 400, "the photo");
  expect_error(test::post(port, "/api/photos", "\xFF\xD8\xFF\xE0 a JPEG that ends too early"), 400, "the photo");
  std::string bomb = good;  // its header says 10000 x 10000
  bomb.replace(16, 8, std::string("\0\0\x27\x10\0\0\x27\x10", 8));
  expect_error(test::post(port, "/api/photos", bomb), 400, "million");
  expect_error(test::post(port, "/api/photos", png_of(1100, 1000)), 400, "million");
}

TEST_F(WebServer, TooLargeABodyIsRefusedBeforeItIsKept) {
  const Answer announced =
      test::ask(port, "POST /api/photos HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 9000000000\r\n\r\n");
  EXPECT_TRUE(announced.status == 413 || announced.status == 408) << announced.head;
  const Answer sent = test::post(port, "/api/photos", std::string((1 << 20) + 5000, 'x'));
  EXPECT_TRUE(sent.status == 413 || sent.status == 0) << sent.head;  // 0: it closed the connection while we still sent
}

TEST_F(WebServer, QuestionsThatMakeNoSenseAreRefused) {
  const std::string path = "/api/photos/" + add(png_of(20, 20))["id"].get<std::string>() + "/why";
  expect_error(test::get(port, path + "?layer=layer9"), 400, "layer9");
  expect_error(test::get(port, path + "?class=77"), 400, "77");
  expect_error(test::get(port, path + "?class=-1"), 400, "number");
  expect_error(test::get(port, path + "?method=scorecam"), 400, "scorecam");
  expect_error(test::get(port, path + "?colormap=rainbow"), 400, "rainbow");
  expect_error(test::get(port, path + "?layer=head.0"), 400, "places");
}

TEST_F(WebServer, NoPathLeadsToAFileOfThisMachine) {
  for (const char* path : {"/../../etc/passwd", "/..%2f..%2fetc/passwd", "/etc/passwd", "/api/photos/../../../etc/passwd",
                           "/api/photos/x/picture.png", "/api/photos/00000000000000000000000000000000/../../etc/passwd"}) {
    const Answer answer = test::get(port, path);
    EXPECT_GE(answer.status, 400) << path;
    EXPECT_EQ(answer.body.find("root:"), std::string::npos) << path;
  }
  expect_error(test::get(port, "/api/photos/00000000000000000000000000000000/picture.png"), 404, "no longer stored");
}

TEST_F(WebServer, OnlyTheLastPhotosAreKept) {
  const std::string first = add(png_of(10, 10))["id"];
  for (int i = 0; i < 4; ++i) add(png_of(11 + i, 10));
  expect_error(test::get(port, "/api/photos/" + first + "/why"), 404, "no longer stored");
}

TEST_F(WebServer, ManyAtOnceGetAnAnswerOrABusyError) {
  constexpr int kMany = 40;
  const std::string photo = png_of(30, 30);
  std::vector<std::future<Answer>> answers;
  for (int i = 0; i < kMany; ++i) answers.push_back(std::async(std::launch::async, [&] { return test::post(port, "/api/photos", photo); }));
  int served = 0;
  for (auto& future : answers) {
    const Answer answer = future.get();
    served += answer.status == 200;
    if (answer.status != 200) expect_error(answer, 503, "busy");
  }
  EXPECT_GE(served, 4);  // one computed, three waited
}

TEST_F(WebServer, AClientThatSendsNothingOrTooSlowlyIsDisconnected) {
  const auto begin = std::chrono::steady_clock::now();
  test::Connection silent(port), slow(port);
  ASSERT_TRUE(silent.send("GET / HT"));
  ASSERT_TRUE(slow.send("POST /api/photos HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n"));
  for (int i = 0; i < 12 && slow.send("x"); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(300));  // never silent for a second
  silent.receive();
  slow.receive();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(15));
}

TEST_F(WebServer, WhatIsNoHttpDoesNoHarm) {
  for (const std::string& bytes : {std::string("\0\1\2\3\r\n\r\n", 8), std::string("GET"), std::string(20000, 'A'),
                                   std::string("PUT / HTTP/1.1\r\nHost: localhost\r\n\r\n"), std::string("GET / HTTP/9.9\r\n\r\n")})
    EXPECT_NE(test::ask(port, bytes).status, 200);
}

TEST_F(WebServer, ARequestForManyRangesGetsTheWholeAnswerOnce) {
  const Answer whole = test::get(port, "/");
  ASSERT_EQ(whole.status, 200);
  std::string ranges = "Range: bytes=0-";
  for (int i = 0; i < 700; ++i) ranges += ",0-";
  for (const std::string& range : {ranges, std::string("Range: bytes=0-9"), std::string("Range: bytes=5-2"), std::string("Range: x")}) {
    const Answer answer = test::get(port, "/", "Host: localhost\r\n" + range + "\r\n");
    if (answer.status == 416) continue;  // a range that is none
    EXPECT_EQ(answer.status, 200) << range.substr(0, 40);
    EXPECT_EQ(answer.body.size(), whole.body.size()) << range.substr(0, 40);
  }
}

TEST_F(WebServer, ALengthThatIsNoNumberIsRefused) {
  for (const char* length : {"abc", "-1", "12x", "99999999999999999999999", "3\r\nContent-Length: 4"})
    EXPECT_EQ(test::ask(port, "POST /api/photos HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: " +
                                  std::string(length) + "\r\n\r\nabc")
                  .status,
              400)
        << length;
}

TEST_F(WebServer, ABrokenModelGetsASentenceAndTheServerStays) {
  Tensor weight = model->model->at("layer3.1.conv1").own_parameters()[0].tensor;
  const Tensor healthy = weight.clone();
  const std::string path = "/api/photos/" + add(png_of(20, 20))["id"].get<std::string>();
  weight.fill(std::numeric_limits<double>::quiet_NaN());
  expect_error(test::post(port, "/api/photos", png_of(20, 20)), 500, "layer3.1.conv1 wrote the first NaN");
  expect_error(test::get(port, path + "/why"), 500, "layer3.1.conv1 wrote the first NaN");
  expect_error(test::get(port, path + "/explore"), 500, "layer3.1.conv1 wrote the first NaN");
  weight.copy_from(healthy);
  EXPECT_EQ(test::get(port, path + "/why").status, 200);
}

TEST(WebHost, OnlyNumbersLocalhostAndItsOwnNameAreTheServer) {
  for (const char* own : {"localhost", "LOCALHOST:80", "127.0.0.1:8013", "192.168.1.7", "[::1]:8013", "[::1]", "box.lan:8013"})
    EXPECT_TRUE(is_own_host(own, "box.lan")) << own;
  for (const char* other : {"", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "evil.example:8013", "[evil]",
                            "localhost:80x", "a:b:c", "[::1"})
    EXPECT_FALSE(is_own_host(other, "box.lan")) << other;
}

}  // namespace
}  // namespace mirilla::pages
