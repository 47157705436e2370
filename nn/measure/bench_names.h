// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>

/// The names of cam_bench's baselines and columns.
namespace mirilla::nn {

inline constexpr std::string_view kCentre = "centre", kRandom = "random", kRandomCoarse = "random-coarse";

inline std::string rank_column(const std::string& part) { return "rank-" + part; }
inline std::string ssim_column(const std::string& part) { return "ssim-" + part; }

}  // namespace mirilla::nn
