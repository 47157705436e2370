// SPDX-License-Identifier: MIT
#include "kernels/emulate/coverage.h"

#include "kernels/emulate/modules.h"
#include "kernels/emulate/names.h"
#include "kernels/emulate/ptx_folder.h"
#include "kernels/emulate/runtime.h"
#include "kernels/ptx/program.h"

#include <algorithm>
#include <fstream>
#include <numeric>

namespace mirilla::emulate {

using ptx::u32;
using ptx::u8;

namespace {

std::string places_of(const ptx::Program& program, u32 location) {
  std::string places;
  for (const ptx::Location* at : program.chain(location)) {
    const auto file = program.files.find(at->file);
    places += fmt::format("{}{}:{}", places.empty() ? "" : ",", file == program.files.end() ? "?" : file->second, at->line);
  }
  return places;
}

struct Range {
  std::string name;
  u32 first = 0, last = 0;
};

// What nvcc adds, such as the slow path of a division, is at line 0: it belongs to the line before it.
u32 location_of(const ptx::Program& program, const Range& range, u32 at) {
  const auto line = [&](u32 place) {
    const auto chain = program.chain(program.info[place].location);
    return chain.empty() ? 0 : chain.front()->line;
  };
  u32 place = at;
  while (place > range.first && line(place) == 0) --place;
  return program.info[line(place) == 0 ? at : place].location;
}

// An instruction's text may take several lines of the PTX.
std::string on_one_line(std::string_view text) {
  std::string line(text);
  std::replace_if(
      line.begin(), line.end(), [](char c) { return c == '\n' || c == '\t'; }, ' ');
  return line;
}

// A function that a kernel calls ends where the next one begins.
std::vector<Range> ranges_of(const ptx::Program& program) {
  std::vector<Range> ranges;
  for (const ptx::Kernel& kernel : program.kernels) ranges.push_back({kernel.name, kernel.first, kernel.last});
  for (const ptx::Callee& function : program.callees) {
    if (function.first != ptx::kNoPlace) ranges.push_back({function.name, function.first, 0});
  }
  std::sort(ranges.begin(), ranges.end(), [](const Range& a, const Range& b) { return a.first < b.first; });
  for (size_t k = 0; k < ranges.size(); ++k) {
    if (ranges[k].last == 0) ranges[k].last = k + 1 < ranges.size() ? ranges[k + 1].first : static_cast<u32>(program.code.size());
  }
  return ranges;
}

void write_module(std::ostream& out, const ptx::Module& module, const std::vector<u8>& ran) {
  const ptx::Program& program = module.program();
  const std::string file = source_of(program.source);
  for (const Range& range : ranges_of(program)) {
    const u32 count = std::accumulate(ran.begin() + range.first, ran.begin() + range.last, u32{0});
    out << fmt::format("kernel\t{}\t{}\t{}\t{}\n", readable(range.name), file, range.last - range.first, count);
    for (u32 at = range.first; at < range.last; ++at) {
      if (ran[at]) continue;
      const ptx::Info& info = program.info[at];
      out << fmt::format("never\t{}\t{}\t{}\t{}\n", at - range.first, info.line, places_of(program, location_of(program, range, at)),
                         on_one_line(info.text));
    }
  }
}

}  // namespace

void write_coverage(Device& device, const std::string& file) {
  std::ofstream out(file);
  try {
    each_module(device, [&](const ptx::Module& module, const std::vector<u8>& ran) { write_module(out, module, ran); });
    if (!out.flush()) throw DeviceError(fmt::format("cannot write {}, where the coverage of the kernels was to go", file));
  } catch (const Error& error) {
    end_program(error);
  }
}

}  // namespace mirilla::emulate
