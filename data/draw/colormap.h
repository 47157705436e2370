// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace mirilla::data {

using Rgb8 = std::array<uint8_t, 3>;

/// 256 colours from the value 0 to the value 1.
using Colormap = std::array<Rgb8, 256>;

/// Perceptually uniform maps by N. Smith and S. van der Walt (CC0), the numbers that matplotlib publishes.   [matplotlib _cm_listed.py]
extern const Colormap kMagma;
extern const Colormap kViridis;
extern const Colormap kInferno;
/// Dark blue through green to dark red, used in many heat maps. Its steps in brightness show edges that are not in the data.
/// [matplotlib _cm.py]
extern const Colormap kJet;
/// White to dark blue, by Cynthia Brewer (http://colorbrewer.org), interpolated as matplotlib does.                 [matplotlib _cm.py]
extern const Colormap kBlues;

/// The colour of a value: entry int(value * 256), the last one for 1; clipped to the ends outside [0, 1]; NaN takes the first.
/// [matplotlib.colors.Colormap.__call__]
Rgb8 color_of(const Colormap& map, double value);

/// The map of this name: "magma", "viridis", "inferno" or "jet". Throws UsageError for another.
const Colormap& colormap_of(std::string_view name);

}  // namespace mirilla::data
