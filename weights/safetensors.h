// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>

#include "weights/state_dict.h"

namespace mirilla::weights {

/// Hugging Face's safetensors: u64 header length (little-endian), a JSON header {name: {dtype, shape, data_offsets: [begin, end]}, ...}
/// with an optional "__metadata__" of strings, then the data.   [huggingface/safetensors, safetensors/src/tensor.rs]
///
/// Reads F32, F64, F16, BF16, U8 and I64 as they are, BOOL as u8, I8, I16, I32, U16 and U32 as i64, F8_E4M3 and F8_E5M2 as f32, with a
/// note, at most six dimensions each. Entries come in the header's order. Throws WeightsError for a file
/// that cannot be read, a header that is cut, too long (100 MB) or not such JSON, a name given twice, another dtype, and data that
/// overlaps, leaves holes, or does not fit the shape or the file.
StateDict read_safetensors(const std::filesystem::path& path);

/// The same from bytes in memory; `origin` names them in errors.
StateDict parse_safetensors(std::span<const std::byte> file, std::string_view origin);

/// Writes entries and metadata: the header in the entries' order and padded with spaces so that the data starts at a multiple of 8, the
/// data with larger element sizes first so that each tensor is aligned. The same StateDict gives the same bytes. Written whole or not at
/// all (write_atomically). Throws WeightsError for a name or text that is not UTF-8, or the reserved name "__metadata__"; Error where the
/// file cannot be written.
void write_safetensors(const std::filesystem::path& path, const StateDict& state);

}  // namespace mirilla::weights
