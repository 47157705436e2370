// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>

#include "weights/state_dict.h"

namespace mirilla::weights {

/// Reads what torch.save writes since PyTorch 1.6: a zip of one pickle and the tensors' storages.   [torch/serialization.py,
/// torch.load(weights_only=True)]
///
/// The pickle is run by an interpreter that can build only tensors, numbers, text and plain containers (dict, OrderedDict, list, tuple,
/// set); anything else is refused with a WeightsError that names it, and nothing is ever executed. From the result it takes the
/// obvious state dict: the nested dict `state_dict`, `model_state_dict` or `model` (fastai's learn.save with its optimizer), else the
/// tensors at the top, else the only nested dict that holds tensors. Everything else is skipped with a line in `notes`.
///
/// Storages: float, double, half, bfloat16, uint8, int64 as they are; int8, int16 and int32 become i64 and bool becomes u8, with a note.
/// Tensors may share a storage (then arrays share its bytes) and need not be contiguous (then they are made dense).
///
/// Throws WeightsError for a file that cannot be read, is not of this form (also the form before 1.6, and TorchScript), is damaged, was
/// written big-endian, is nested too deeply, or would need more memory than its size justifies; strides and offsets outside a storage are
/// refused.
StateDict read_pth(const std::filesystem::path& path);

}  // namespace mirilla::weights
