// SPDX-License-Identifier: MIT
#include "kernels/cuda/vendor/library.h"

#include <filesystem>
#include <fstream>

#include "kernels/cuda/vendor/cudnn.h"
#include "kernels/cuda/vendor/versions.h"
#include "tests/kernels/vendor/support.h"

namespace mirilla::test {
namespace {

using cuda::vendor::Library;
using cuda::vendor::LibraryWanted;

// The fake library of this version, in its own folder: tests/kernels/vendor/fakes.
std::string folder_of(int version) { return fmt::format("{}/fake_{}", MIRILLA_FAKES, version); }

LibraryWanted fake(std::vector<std::filesystem::path> folders = {}) {
  return {.name = "Fake",
          .files = {"libfake.so.9"},
          .version_function = "fake_version",
          .oldest = 91900,
          .place_variable = "MIRILLA_FAKE_PATH",
          .folders = std::move(folders),
          .package = "fake-cu13"};
}

void expect_all_in(const std::string& text, const std::vector<std::string>& parts) {
  for (const std::string& part : parts) EXPECT_NE(text.find(part), std::string::npos) << "no '" << part << "' in: " << text;
}

// The hint of every failure says what to install, how to set its place, and how to run without it.
void expect_helpful(const Error& error) {
  expect_all_in(error.hint(), {"pip install fake-cu13", "MIRILLA_FAKE_PATH=", "MIRILLA_VENDOR=off"});
}

TEST(VendorLibrary, IsOpenedFromTheFirstFolderThatHasIt) {
  const Library library = Library::open(fake({"/nowhere", folder_of(91900), folder_of(92000)}));
  EXPECT_EQ(library.version(), 91900);
  EXPECT_EQ(std::filesystem::canonical(library.path()), std::filesystem::canonical(folder_of(91900) + "/libfake.so.9"));
  EXPECT_EQ(library.function<int()>("fake_answer")(), 42);
}

TEST(VendorLibrary, IsOpenedWhereTheVariableSaysAndNowhereElse) {
  for (const std::string& said : {folder_of(92000), folder_of(92000) + "/libfake.so.9"}) {
    const Environment place("MIRILLA_FAKE_PATH", said);
    EXPECT_EQ(Library::open(fake({folder_of(91900)})).version(), 92000) << said;
  }
  const Environment place("MIRILLA_FAKE_PATH", "/nowhere");
  const auto error = thrown<DeviceError>([] { Library::open(fake({folder_of(91900)})); });
  expect_all_in(error.message(), {"Fake was not found", "MIRILLA_FAKE_PATH says /nowhere", "libfake.so.9"});
  expect_helpful(error);
}

TEST(VendorLibrary, ThatIsMissingIsNamedWithEveryPlaceThatWasLookedIn) {
  const auto error = thrown<DeviceError>([] { Library::open(fake({"/nowhere", "/nor/here"})); });
  expect_all_in(error.message(), {"Fake was not found", "libfake.so.9", "the loader's path", "/nowhere", "/nor/here"});
  expect_helpful(error);
}

TEST(VendorLibrary, MayBeNewerWithinItsMajorVersionAndNotOlder) {
  EXPECT_EQ(Library::open(fake({folder_of(92000)})).version(), 92000);
  const auto error = thrown<DeviceError>([] { Library::open(fake({folder_of(91800)})); });
  expect_all_in(error.message(), {"Fake at ", "fake_91800", "is version 9.18.0", "needs 9.19.0 or a newer 9.x"});
  expect_helpful(error);
}

TEST(VendorLibrary, OfAnotherMajorVersionIsRefused) {
  for (const auto& [version, text] : {std::pair{80907, "8.9.7"}, std::pair{100000, "10.0.0"}}) {
    const auto error = thrown<DeviceError>([&] { Library::open(fake({folder_of(version)})); });
    expect_all_in(error.message(), {std::string("is version ") + text, "needs 9.19.0"});
    expect_helpful(error);
  }
}

TEST(VendorLibrary, ThatLacksAFunctionIsNamedWithIt) {
  const Library library = Library::open(fake({folder_of(91900)}));
  const auto error = thrown<DeviceError>([&] { library.function<int()>("fake_question"); });
  expect_all_in(error.message(), {"Fake at ", "has no function fake_question"});
  expect_helpful(error);
  LibraryWanted wanted = fake({folder_of(91900)});
  wanted.version_function = "version_of_nothing";
  expect_all_in(thrown<DeviceError>([&] { Library::open(wanted); }).message(), {"has no function version_of_nothing"});
}

// Going on to the next folder would hide why the library that the user installed is not the one that runs.
TEST(VendorLibrary, ThatIsThereAndBrokenIsToldWithTheLoadersReason) {
  const std::filesystem::path folder = std::filesystem::path(::testing::TempDir()) / "mirilla_broken_library";
  std::filesystem::create_directories(folder);
  std::ofstream(folder / "libfake.so.9") << "not a library";
  const auto error = thrown<DeviceError>([&] { Library::open(fake({folder, folder_of(91900)})); });
  std::filesystem::remove_all(folder);
  expect_all_in(error.message(), {"Fake could not be opened: ", "mirilla_broken_library"});
  expect_helpful(error);
}

TEST(VendorLibrary, LooksBelowTheToolkitThatTheEnvironmentNames) {
  const Environment home("CUDA_HOME", "/opt/one"), path("CUDA_PATH", "/opt/two");
  const std::vector<std::filesystem::path> want{"/opt/one/lib64", "/opt/two/lib64", "/usr/local/cuda/lib64", "/beside"};
  EXPECT_EQ(cuda::vendor::library_folders("/beside"), want);
}

TEST(VendorVersions, AreOneLineWhateverIsInstalled) {
  const std::string line = cuda::vendor::versions();
  EXPECT_EQ(line.find('\n'), std::string::npos) << line;
  expect_all_in(line, {"cuDNN", "cuBLASLt"});
}

}  // namespace
}  // namespace mirilla::test
