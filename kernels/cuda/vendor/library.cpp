// SPDX-License-Identifier: MIT
#include "kernels/cuda/vendor/library.h"

#include <dlfcn.h>
#include <fmt/ranges.h>

#include <cstdlib>

#include "kernels/core/error.h"

namespace mirilla::cuda::vendor {

namespace {

namespace fs = std::filesystem;

std::string hint_for(const LibraryWanted& wanted) {
  return fmt::format("pip install {} brings it, and {}=FOLDER says where it is; MIRILLA_VENDOR=off computes with Mirilla's own kernels",
                     wanted.package, wanted.place_variable);
}

// Every name under which the library may be opened, in order; the loader looks up a name without a slash.
std::vector<std::string> candidates(const LibraryWanted& wanted) {
  std::vector<std::string> all;
  const auto add_folder = [&](const fs::path& folder) {
    for (const std::string& file : wanted.files) all.push_back((folder / file).string());
  };
  const char* const said = std::getenv(wanted.place_variable.c_str());
  std::error_code ignored;
  if (said && *said) {
    if (fs::is_directory(said, ignored))
      add_folder(fs::absolute(said));
    else
      all.push_back(fs::absolute(said).string());
    return all;
  }
  all = wanted.files;
  for (const fs::path& folder : wanted.folders) add_folder(folder);
  return all;
}

// The opened library, or null where it was not found. A file that exists and does not open is an error: going on would hide the reason.
void* open_first(const LibraryWanted& wanted) {
  for (const std::string& candidate : candidates(wanted)) {
    if (void* const handle = dlopen(candidate.c_str(), RTLD_NOW | RTLD_LOCAL)) return handle;
    const char* const said = dlerror();
    const std::string reason = said ? said : "no reason was given";
    const bool by_loader = candidate.find('/') == std::string::npos;
    // For a file that it did not find the loader says "NAME: cannot open shared object file"; where the file's own libraries are missing,
    // it names those.
    const bool absent = by_loader ? reason.rfind(candidate + ": cannot open", 0) == 0 : !fs::exists(candidate);
    if (!absent) throw DeviceError(fmt::format("{} could not be opened: {}", wanted.name, reason), hint_for(wanted));
  }
  return nullptr;
}

std::string path_of(void* function, const std::string& otherwise) {
  Dl_info info{};
  return dladdr(function, &info) != 0 && info.dli_fname ? info.dli_fname : otherwise;
}

[[noreturn]] void not_found(const LibraryWanted& wanted) {
  const char* const said = std::getenv(wanted.place_variable.c_str());
  if (said && *said)
    throw DeviceError(
        fmt::format("{} was not found: {} says {} and {} is not there", wanted.name, wanted.place_variable, said, wanted.files.front()),
        hint_for(wanted));
  std::vector<std::string> places{"the loader's path"};
  for (const fs::path& folder : wanted.folders) places.push_back(folder.string());
  throw DeviceError(fmt::format("{} was not found: there is no {} in {}", wanted.name, wanted.files.front(), fmt::join(places, ", ")),
                    hint_for(wanted));
}

}  // namespace

std::string version_text(LibraryVersion version) { return fmt::format("{}.{}.{}", version / 10000, version / 100 % 100, version % 100); }

Library Library::open(const LibraryWanted& wanted) {
  Library library;
  library.name_ = wanted.name;
  library.hint_ = hint_for(wanted);
  library.path_ = wanted.files.front();
  library.handle_ = open_first(wanted);
  if (!library.handle_) not_found(wanted);
  void* const version_function = library.find(wanted.version_function);
  library.path_ = path_of(version_function, library.path_);
  library.version_ = static_cast<LibraryVersion>(reinterpret_cast<size_t (*)()>(version_function)());
  if (library.version_ / 10000 != wanted.oldest / 10000 || library.version_ < wanted.oldest)
    throw DeviceError(fmt::format("{} at {} is version {} and this build needs {} or a newer {}.x", wanted.name, library.path_,
                                  version_text(library.version_), version_text(wanted.oldest), wanted.oldest / 10000),
                      library.hint_);
  return library;
}

Library Library::linked(std::string name, LibraryVersion version) {
  Library library;
  library.name_ = std::move(name);
  library.version_ = version;
  library.path_ = "the program itself";
  return library;
}

void* Library::find(const std::string& symbol) const {
  if (void* const address = handle_ ? dlsym(handle_, symbol.c_str()) : nullptr) return address;
  throw DeviceError(fmt::format("{} at {} has no function {}", name_, path_, symbol), hint_);
}

std::vector<fs::path> library_folders(const fs::path& beside_headers) {
  std::vector<fs::path> folders;
  for (const char* const variable : {"CUDA_HOME", "CUDA_PATH"})
    if (const char* const value = std::getenv(variable); value && *value) folders.push_back(fs::path(value) / "lib64");
  folders.emplace_back("/usr/local/cuda/lib64");
  if (!beside_headers.empty()) folders.push_back(beside_headers);
  return folders;
}

}  // namespace mirilla::cuda::vendor
