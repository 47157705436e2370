// SPDX-License-Identifier: MIT
#include "weights/pth_archive.h"

#include <fmt/format.h>
#include <zip.h>
#include <zlib.h>

#include "engine/zip_reason.h"
#include "kernels/core/error.h"
#include "weights/pth_contents.h"
#include "weights/state_dict.h"
#include "weights/zip_layout.h"

namespace mirilla::weights {
namespace {

constexpr uint64_t kMemoryPerFileByte = 4;
constexpr uint64_t kSmallFileBudget = 1 << 20;
constexpr std::string_view kPickleEntry = "data.pkl";

struct EntryCloser {
  void operator()(zip_file_t* entry) const { zip_fclose(entry); }
};

}  // namespace

void PthArchive::Closer::operator()(zip* archive) const { zip_discard(archive); }

void PthArchive::fail(std::string_view why, std::string_view hint) const {
  throw WeightsError(fmt::format("{} {}", shown(origin_), why), hint);
}

PthArchive::PthArchive(const std::filesystem::path& path) : origin_(path.string()), file_size_(readable_size(path)) {
  int code = 0;
  zip_.reset(zip_open(path.c_str(), ZIP_RDONLY, &code));
  if (zip_ == nullptr) {
    zip_error_t error;
    zip_error_init_with_code(&error, code);
    const std::string why = fmt::format("cannot be opened as torch.save's zip: {}", zip_reason(&error));
    zip_error_fini(&error);
    fail(why);
  }
  budget_ = kMemoryPerFileByte * file_size_ + kSmallFileBudget;
  find_folder();
  mapped_ = map_file(path);
  stored_ = stored_entries({mapped_.data.get(), mapped_.size});
  if (contains("constants.pkl")) {
    fail("is a TorchScript program and not a state dict", "in Python: torch.save(torch.jit.load('OLD').state_dict(), 'NEW.pth')");
  }
  if (contains("byteorder")) {
    const FileBytes order = read("byteorder");
    const std::string_view text(reinterpret_cast<const char*>(order.data.get()), order.size);
    if (text != "little")
      fail(fmt::format("was written with {} byte order, but only 'little' is supported", shown(text)),
           "save it again on a little-endian machine");
  }
}

void PthArchive::find_folder() {
  const zip_int64_t entries = zip_get_num_entries(zip_.get(), 0);
  bool found = false;
  for (zip_int64_t i = 0; i < entries; ++i) {
    const char* raw = zip_get_name(zip_.get(), static_cast<zip_uint64_t>(i), ZIP_FL_ENC_RAW);
    const std::string_view name = raw == nullptr ? std::string_view{} : std::string_view(raw);
    if (!name.ends_with(kPickleEntry)) continue;
    const std::string_view folder = name.substr(0, name.size() - kPickleEntry.size());
    if (!folder.empty() && folder.find('/') != folder.size() - 1) continue;
    if (found) fail("is a zip with two data.pkl, but torch.save writes one");
    found = true;
    folder_ = folder;
  }
  if (!found) {
    fail(fmt::format("is a zip of {} entries without data.pkl, so it is not a weights file", entries),
         "give pictures as `data`, weights as `weights`");
  }
}

bool PthArchive::contains(std::string_view name) const {
  return zip_name_locate(zip_.get(), (folder_ + std::string(name)).c_str(), ZIP_FL_ENC_RAW) >= 0;
}

FileBytes PthArchive::read(std::string_view name) {
  const std::string path = folder_ + std::string(name);
  const zip_int64_t index = zip_name_locate(zip_.get(), path.c_str(), ZIP_FL_ENC_RAW);
  if (index < 0) fail(fmt::format("has no entry {}", shown(path)));
  zip_stat_t stat;
  if (zip_stat_index(zip_.get(), static_cast<zip_uint64_t>(index), 0, &stat) != 0 || (stat.valid & ZIP_STAT_SIZE) == 0) {
    fail(fmt::format("does not say how large its entry {} is", shown(path)));
  }
  constexpr zip_uint64_t kChecked = ZIP_STAT_CRC | ZIP_STAT_COMP_SIZE;
  if (const auto found = stored_.find(path); found != stored_.end() && (stat.valid & kChecked) == kChecked && stat.comp_size == stat.size &&
                                             stat.size <= mapped_.size - found->second) {
    const std::byte* const begin = mapped_.data.get() + found->second;
    if (crc32_z(0, reinterpret_cast<const Bytef*>(begin), stat.size) != stat.crc)
      fail(fmt::format("is damaged at its entry {}: its checksum is wrong", shown(path)));
    return {{mapped_.data, begin}, static_cast<size_t>(stat.size)};
  }
  return unpack(path, static_cast<uint64_t>(index), stat.size);
}

FileBytes PthArchive::unpack(const std::string& path, uint64_t index, uint64_t size) {
  if (size > budget_) {
    fail(fmt::format("has {} bytes, and its entry {} would unpack to {}, more than its size justifies", file_size_, shown(path), size),
         "is it a file that torch.save wrote?");
  }
  budget_ -= size;
  const std::unique_ptr<zip_file_t, EntryCloser> entry(zip_fopen_index(zip_.get(), index, 0));
  if (entry == nullptr) fail(fmt::format("has an entry {} that cannot be opened: {}", shown(path), zip_reason(zip_get_error(zip_.get()))));
  const auto data = allocate_bytes(size);
  uint64_t done = 0;
  while (done < size) {
    const zip_int64_t count = zip_fread(entry.get(), data.get() + done, size - done);
    if (count <= 0)
      fail(fmt::format("is damaged at its entry {}: {}", shown(path),
                       count < 0 ? zip_reason(zip_file_get_error(entry.get())) : "it ends too early"));
    done += static_cast<uint64_t>(count);
  }
  char beyond = 0;  // libzip compares the checksum at the end of the entry
  if (zip_fread(entry.get(), &beyond, 1) != 0)
    fail(fmt::format("is damaged at its entry {}: its checksum or its length is wrong", shown(path)));
  return {data, static_cast<size_t>(size)};
}

PthContents zip_contents(const std::filesystem::path& path) {
  const auto archive = std::make_shared<PthArchive>(path);
  PthContents contents{
      .origin = path.string(), .file_size = archive->file_size(), .pickle = archive->read(kPickleEntry), .pickled = {}, .storage = {}};
  contents.pickled = pickle::unpickle({contents.pickle.data.get(), contents.pickle.size}, contents.origin);
  contents.storage = [archive](std::string_view key) { return archive->read(fmt::format("data/{}", key)); };
  return contents;
}

}  // namespace mirilla::weights
