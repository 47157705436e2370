// SPDX-License-Identifier: MIT
#pragma once

#include <vector>

#include "data/augment.h"
#include "tests/oracle/augment/cases.h"

namespace mirilla::data::test {

/// One of the oracle's draws as Mirilla's.
inline PictureDraw draw_of(const mirilla::test::OracleDraw& d) {
  return {.flip = d.flip,
          .degrees = d.degrees,
          .zoom = d.zoom,
          .zoom_x = d.zoom_x,
          .zoom_y = d.zoom_y,
          .warp_x = d.warp_x,
          .warp_y = d.warp_y,
          .brightness = d.brightness,
          .contrast = d.contrast};
}

/// The parameters of a case, computed by compose() from its draws and its crop: (n,20).
inline std::vector<float> composed_rows(const mirilla::test::AugmentCase& c) {
  std::vector<float> rows;
  for (const mirilla::test::OracleDraw& d : c.draws) {
    const Box crop{c.crop[0], c.crop[1], c.crop[2], c.crop[3]};
    const AugmentRow row = compose(draw_of(d), crop, static_cast<int>(c.height), static_cast<int>(c.width));
    rows.insert(rows.end(), row.begin(), row.end());
  }
  return rows;
}

}  // namespace mirilla::data::test
