// SPDX-License-Identifier: MIT
#include "kernels/ptx/warp.h"

#include <algorithm>
#include <cctype>

namespace mirilla::ptx {

std::vector<const Location*> Program::chain(u32 location) const {
  std::vector<const Location*> all;
  for (u32 at = location; at != 0 && all.size() < 64; at = locations[at].inlined_at) all.push_back(&locations[at]);
  return all;
}

std::string_view name_of(Fault::Kind kind) {
  switch (kind) {
    case Fault::Kind::kOutside: return "an access outside of memory";
    case Fault::Kind::kFreed: return "an access to freed memory";
    case Fault::Kind::kMisaligned: return "a misaligned access";
    case Fault::Kind::kReadOnly: return "a write to constant memory";
    case Fault::Kind::kUnwritten: return "a read of memory that nobody wrote";
    case Fault::Kind::kNotConstant: return "an .nc load of what the same launch writes";
    case Fault::Kind::kRace: return "a race";
    case Fault::Kind::kLanesMissing: return "lanes are missing";
    case Fault::Kind::kDivergentBarrier: return "a divergent barrier";
    case Fault::Kind::kDeadlock: return "a deadlock";
    case Fault::Kind::kTrap: return "a trap";
    case Fault::Kind::kLimit: return "a launch beyond the device's limits";
    case Fault::Kind::kOther: break;
  }
  return "a fault";
}

namespace {

// nvcc writes a call over several lines.
std::string on_one_line(std::string_view text) {
  std::string line;
  for (char c : text) {
    const bool space = std::isspace(static_cast<unsigned char>(c));
    if (!space || line.empty() || line.back() != ' ') line += space ? ' ' : c;
  }
  return line;
}

}  // namespace

std::string place_of(const Program& program, u32 info) {
  const Info& known = program.info[info];
  const std::string text = on_one_line(known.text);
  if (known.location == 0) return fmt::format("PTX line {} ({})", known.line, text);
  const Location& at = program.locations[known.location];
  const auto file = program.files.find(at.file);
  return fmt::format("{}:{} (PTX line {}: {})", file == program.files.end() ? "?" : file->second, at.line, known.line, text);
}

namespace {

Fault fault_of(const Warp& warp, const Instruction& i, u32 lane, Fault::Kind kind, std::string_view what, std::string_view hint) {
  const Block& block = *warp.block;
  const Program& program = *block.program;
  const Info& info = program.info[i.info];
  const u32 number = warp.index * kLanes + lane;
  const Dim thread{number % block.dim.x, number / block.dim.x % block.dim.y, number / block.dim.x / block.dim.y};
  std::string text = fmt::format("{}: {}: {}, block ({},{},{}), thread ({},{},{}), {}", block.kernel->name, name_of(kind), what, block.id.x,
                                 block.id.y, block.id.z, thread.x, thread.y, thread.z, place_of(program, i.info));
  const auto chain = program.chain(info.location);
  std::vector<SourceLine> source;
  for (const Location* at : chain) {
    const auto file = program.files.find(at->file);
    source.push_back({file == program.files.end() ? std::string{} : file->second, at->line, at->column, at->function});
    if (at != chain.front()) text += fmt::format(", inlined at {}:{}", source.back().file, at->line);
  }
  Fault fault(kind, text, hint);
  fault.kernel = block.kernel->name;
  fault.block = block.id;
  fault.thread = thread;
  fault.ptx_line = info.line;
  fault.ptx_text = info.text;
  fault.source = std::move(source);
  return fault;
}

}  // namespace

void fail(const Warp& warp, const Instruction& i, u32 lane, Fault::Kind kind, std::string_view what, std::string_view hint) {
  throw fault_of(warp, i, lane, kind, what, hint);
}

void report(const Warp& warp, const Instruction& i, u32 lane, Fault::Kind kind, std::string_view what, std::string_view hint) {
  const Fault fault = fault_of(warp, i, lane, kind, what, hint);
  if (!warp.block->options->found) throw fault;
  warp.block->options->found(fault);
}

}  // namespace mirilla::ptx
