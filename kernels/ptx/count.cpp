// SPDX-License-Identifier: MIT
#include "kernels/ptx/count.h"

#include "kernels/ptx/warp.h"

#include <algorithm>
#include <tuple>

namespace mirilla::ptx {

namespace {

constexpr u32 kSectorBytes = 32, kBanks = 32, kBankBytes = 4;

Count& count_of(Block& block, const Instruction& i) {
  return block.options->counts->now[static_cast<size_t>(&i - block.program->code.data())];
}

SourceLine source_of(const Program& program, u32 location) {
  if (location == 0) return {};
  const Location& at = program.locations[location];
  const auto file = program.files.find(at.file);
  return {file == program.files.end() ? std::string{} : file->second, at.line, at.column, at.function};
}

}  // namespace

std::string_view name_of(InstructionClass cls) {
  constexpr std::string_view kNames[]{"other", "integer", "float",   "half", "convert", "global", "shared",
                                      "local", "atomic",  "control", "warp", "barrier", "matrix"};
  return kNames[static_cast<size_t>(cls)];
}

Count& Count::operator+=(const Count& other) {
  warp_instructions += other.warp_instructions;
  lane_instructions += other.lane_instructions;
  divergent_branches += other.divergent_branches;
  sectors += other.sectors;
  sectors_needed += other.sectors_needed;
  shared_passes += other.shared_passes;
  shared_conflicts += other.shared_conflicts;
  atomics += other.atomics;
  tensor_products += other.tensor_products;
  for (size_t k = 0; k < by_class.size(); ++k) by_class[k] += other.by_class[k];
  return *this;
}

void count_instruction(Block& block, const Warp& warp, const Instruction& i) {
  Count& count = count_of(block, i);
  ++count.warp_instructions;
  count.lane_instructions += static_cast<u64>(std::popcount(warp.mask));
  ++count.by_class[i.cls];
}

void count_divergence(Block& block, const Instruction& i) { ++count_of(block, i).divergent_branches; }

void count_atomics(Block& block, const Instruction& i, u32 lanes) { count_of(block, i).atomics += static_cast<u64>(std::popcount(lanes)); }

void count_products(Block& block, const Instruction& i, u64 products) { count_of(block, i).tensor_products += products; }

void count_global(Block& block, const Instruction& i, const u64* address, u32 bytes, u32 mask) {
  std::vector<u64> sectors;
  std::vector<std::pair<u64, u64>> ranges;  // requested bytes: first, and one past the last
  each_lane(mask, [&](u32 l) {
    for (u64 s = address[l] / kSectorBytes; s <= (address[l] + bytes - 1) / kSectorBytes; ++s) sectors.push_back(s);
    ranges.emplace_back(address[l], address[l] + bytes);
  });
  std::sort(sectors.begin(), sectors.end());
  sectors.erase(std::unique(sectors.begin(), sectors.end()), sectors.end());
  std::sort(ranges.begin(), ranges.end());
  u64 distinct = 0, end = 0;
  for (const auto& [first, last] : ranges) {
    if (last > end) distinct += last - std::max(first, end);
    end = std::max(end, last);
  }
  Count& count = count_of(block, i);
  count.sectors += sectors.size();
  count.sectors_needed += (distinct + kSectorBytes - 1) / kSectorBytes;
}

// A pass serves one word of each bank. Lanes of 8 bytes are served in two halves of the warp, of 16 bytes in four quarters; lanes of a part
// that access the same word share it.
void count_shared(Block& block, const Instruction& i, const u32* address, u32 bytes, u32 mask) {
  const u32 lanes = bytes <= kBankBytes ? kLanes : std::max(1u, kLanes * kBankBytes / bytes);
  Count& count = count_of(block, i);
  for (u32 first = 0; first < kLanes; first += lanes) {
    std::array<std::vector<u32>, kBanks> words;
    bool any = false;
    for (u32 l = first; l < first + lanes; ++l) {
      if (!(mask >> l & 1u)) continue;
      any = true;
      for (u32 word = address[l] / kBankBytes; word <= (address[l] + bytes - 1) / kBankBytes; ++word) {
        auto& bank = words[word % kBanks];
        if (std::find(bank.begin(), bank.end(), word) == bank.end()) bank.push_back(word);
      }
    }
    size_t passes = 0;
    for (const auto& bank : words) passes = std::max(passes, bank.size());
    count.shared_passes += passes;
    if (any) count.shared_conflicts += passes - 1;
  }
}

void add_launch(Counts& counts, const Program& program, const Kernel& kernel) {
  Counts::Kernel& to = counts.kernels[kernel.name];
  ++to.launches;
  to.instructions = kernel.last - kernel.first;
  to.executed_at.resize(to.instructions);
  for (u32 at = 0; at < program.code.size(); ++at) {
    const Count& count = counts.now[at];
    if (count.warp_instructions == 0) continue;
    const Info& info = program.info[at];
    to.total += count;
    to.by_ptx_line[info.line] += count;
    if (at >= kernel.first && at < kernel.last) to.executed_at[at - kernel.first] = true;
    const SourceLine source = source_of(program, info.location);
    const auto same = [&](const Counts::Line& line) { return line.source.file == source.file && line.source.line == source.line; };
    auto line = std::find_if(to.lines.begin(), to.lines.end(), same);
    if (line == to.lines.end()) line = to.lines.insert(line, {source, {}});
    line->count += count;
  }
  to.executed = static_cast<u64>(std::count(to.executed_at.begin(), to.executed_at.end(), true));
  std::sort(to.lines.begin(), to.lines.end(), [](const Counts::Line& a, const Counts::Line& b) {
    return std::tie(a.source.file, a.source.line) < std::tie(b.source.file, b.source.line);
  });
}

InstructionClass class_of(std::string_view base, const Instruction& i) {
  constexpr auto is = [](std::string_view word, std::initializer_list<std::string_view> words) {
    return std::find(words.begin(), words.end(), word) != words.end();
  };
  if (is(base, {"ld", "st", "ldu"})) {
    if (i.space == Space::kShared) return InstructionClass::kShared;
    if (i.space == Space::kLocal) return InstructionClass::kLocal;
    return i.space == Space::kParam || i.space == Space::kConst ? InstructionClass::kOther : InstructionClass::kGlobal;
  }
  if (is(base, {"atom", "red"})) return InstructionClass::kAtomic;
  if (is(base, {"bra", "brx", "call", "ret", "exit", "trap"})) return InstructionClass::kControl;
  if (is(base, {"shfl", "vote", "match", "redux", "elect", "activemask"})) return InstructionClass::kWarp;
  if (is(base, {"bar", "barrier", "membar", "fence", "mbarrier"})) return InstructionClass::kBarrier;
  if (is(base, {"mma", "wmma", "ldmatrix", "stmatrix", "movmatrix"})) return InstructionClass::kMatrix;
  if (base == "cp") return InstructionClass::kGlobal;
  if (base == "cvt") return InstructionClass::kConvert;
  if (is(base, {"mov", "cvta", "isspacep", "prefetch", "nanosleep"})) return InstructionClass::kOther;
  return i.arithmetic;
}

}  // namespace mirilla::ptx
