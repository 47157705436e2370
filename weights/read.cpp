// SPDX-License-Identifier: MIT
#include "weights/read.h"

#include "weights/file_bytes.h"
#include "weights/pth.h"
#include "weights/safetensors.h"

namespace mirilla::weights {
namespace {

constexpr std::string_view kZip = "PK\x03\x04";
constexpr std::string_view kEmptyZip = "PK\x05\x06";
constexpr char kPickle = '\x80';
constexpr size_t kHeaderAt = 8;  // where a safetensors file's JSON begins

/// Guesses what a file is that has no weights: most often a download of something else.
std::string_view guess(std::string_view start) {
  if (start.starts_with("<")) return "it looks like a web page: was the download's address right, or does it need a login?";
  if (start.starts_with("version https://git-lfs")) return "it is a Git LFS pointer: run `git lfs pull` to fetch the file itself";
  if (start.starts_with("GGUF")) return "it is a GGUF file, which this program does not read";
  if (start.starts_with("\x89HDF")) return "it is an HDF5 (Keras) file, which this program does not read";
  return "save the weights with torch.save(model.state_dict(), path) or safetensors.torch.save_file";
}

}  // namespace

StateDict read_weights(const std::filesystem::path& path) {
  const std::string start = first_bytes(path, 32);
  if (start.starts_with(kZip) || start.starts_with(kEmptyZip)) return read_pth(path);
  if (start.size() > kHeaderAt && start[kHeaderAt] == '{') return read_safetensors(path);  // the length may begin like a pickle
  if (start[0] == kPickle) return read_pth(path);
  if (path.extension() == ".safetensors") return read_safetensors(path);  // for its message about a damaged file
  throw WeightsError(fmt::format("{} is neither a safetensors file nor one written by torch.save", shown(path.string())), guess(start));
}

}  // namespace mirilla::weights
