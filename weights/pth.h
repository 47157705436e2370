// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>

#include "weights/state_dict.h"

namespace mirilla::weights {

/// Reads what torch.save writes: a zip of one pickle and the tensors' storages, and the form before PyTorch 1.6, pickles and storages one
/// after the other.   [torch/serialization.py, torch.load(weights_only=True)]
///
/// The pickle is run by an interpreter that can build only tensors, numbers, text and plain containers (dict, OrderedDict, list, tuple,
/// set). Any other object, such as an argparse.Namespace, a path or an optimizer, is passed over without being built, and nothing is ever
/// executed; a file that would make Python run code or a command is refused by its name. From the result it takes the obvious
/// state dict: the dict `state_dict_ema` or another usual name of averaged weights, which a note then says; else `state_dict`,
/// `model_state_dict`, `model` (fastai's learn.save with its optimizer), `net` or the like, itself perhaps inside one; else the tensors at
/// the top, else the only nested dict that holds tensors. Everything else is skipped with a line in `notes`.
///
/// Types: float, double, half, bfloat16, uint8, int64 as they are; the other integers up to 32 bits become i64, bool becomes u8,
/// float8_e4m3fn and float8_e5m2 become f32, with a note; a complex or quantised tensor is skipped, with a note.
/// Tensors may share a storage (then arrays share its bytes) and need not be contiguous (then they are made dense). The file is mapped:
/// arrays refer to its bytes, except where they are compressed or not aligned.
///
/// Throws WeightsError for a file that cannot be read, is not of this form (also TorchScript, and a whole pickled model, with the line of
/// Python that saves its state dict), is damaged, was written big-endian, is nested too deeply, or would need more memory than its size
/// justifies; strides and offsets outside a storage are refused.
StateDict read_pth(const std::filesystem::path& path);

/// Writes an OrderedDict of tensors, in PyTorch's layout, as torch.save does: torch.load(path, weights_only=True) opens it. Metadata has no
/// place in it. The same StateDict gives the same bytes. Written whole or not at all (write_atomically). Throws Error where the file
/// cannot be written.
void write_pth(const std::filesystem::path& path, const StateDict& state);

}  // namespace mirilla::weights
