// SPDX-License-Identifier: MIT
#include "kernels/ptx/registers.h"

#include <algorithm>
#include <array>
#include <bit>

namespace mirilla::ptx {

namespace {

constexpr u8 kWritten = 1, kRead = 2;

struct Piece {  // instructions without a branch between them
  u32 first = 0, last = 0;
  std::vector<u32> next;
  std::vector<u64> used, defined, alive_in, alive_out;
};

bool ends_piece(const Instruction& i) {
  return i.step == Step::kBranch || i.step == Step::kTable || i.step == Step::kReturn || i.step == Step::kExit;
}

class Liveness {
 public:
  Liveness(const Body& body, size_t registers) : body_(body), words_((registers + 63) / 64) {
    cut();
    connect();
    for (Piece& piece : pieces_) uses(piece);
    settle();
  }

  /// First and last instruction at which each register holds a value that is still needed.
  struct Span {
    u32 first = 0xffffffffu, last = 0;
  };
  std::vector<Span> spans(size_t registers) const {
    std::vector<Span> all(registers);
    const auto touch = [&](size_t r, u32 at) {
      all[r].first = std::min(all[r].first, at);
      all[r].last = std::max(all[r].last, at);
    };
    for (const Piece& piece : pieces_) {
      for (size_t w = 0; w < words_; ++w) {
        for (u64 bits = piece.alive_in[w]; bits; bits &= bits - 1) touch(64 * w + static_cast<size_t>(std::countr_zero(bits)), piece.first);
        for (u64 bits = piece.alive_out[w]; bits; bits &= bits - 1) touch(64 * w + static_cast<size_t>(std::countr_zero(bits)), piece.last);
      }
      for (u32 at = piece.first; at < piece.last; ++at) {
        each_operand(at, [&](u32 r, u8) { touch(r, at); });
      }
    }
    return all;
  }

 private:
  template <class F>
  void each_operand(u32 at, F f) const {  // f(register, role)
    const Program& program = body_.program;
    const u32 begin = program.first_places[at];
    const u32 end = at + 1 < program.first_places.size() ? program.first_places[at + 1] : static_cast<u32>(program.places.size());
    const Instruction& i = program.code[at];
    for (u32 k = begin; k < end; ++k) {
      const u32 place = program.places[k];
      if (!(place & kConstantBit) && (place & kRegisterTag)) f(place & ~kRegisterTag, body_.roles[k - body_.first_place]);
    }
    if (i.guard != kNoPlace) f(i.guard & ~kRegisterTag, kRead);
  }

  void cut() {
    const Program& program = body_.program;
    const u32 first = body_.first_code, last = body_.end_code;
    std::vector<bool> begins(last - first + 1, false);
    for (u32 at = first; at < last; ++at) {
      const Instruction& i = program.code[at];
      if (i.step == Step::kBranch) begins[i.target - first] = true;
      if (i.step == Step::kTable)
        for (u32 target : program.tables[i.target]) begins[target - first] = true;
      if (ends_piece(i)) begins[at + 1 - first] = true;
    }
    for (u32 at = first; at < last; ++at) {
      if (at == first || begins[at - first]) pieces_.push_back({.first = at});
      pieces_.back().last = at + 1;
    }
    piece_at_.assign(last - first + 1, 0);
    for (u32 k = 0; k < pieces_.size(); ++k) piece_at_[pieces_[k].first - first] = k;
  }

  void connect() {
    const Program& program = body_.program;
    const auto go = [&](Piece& piece, u32 to) {
      if (to < body_.end_code) piece.next.push_back(piece_at_[to - body_.first_code]);
    };
    for (Piece& piece : pieces_) {
      const Instruction& i = program.code[piece.last - 1];
      if (i.step == Step::kBranch) go(piece, i.target);
      if (i.step == Step::kTable)
        for (u32 target : program.tables[i.target]) go(piece, target);
      if (!ends_piece(i) || i.guard != kNoPlace) go(piece, piece.last);
    }
  }

  void uses(Piece& piece) const {
    for (auto* set : {&piece.used, &piece.defined, &piece.alive_in, &piece.alive_out}) set->assign(words_, 0);
    for (u32 at = piece.first; at < piece.last; ++at) {
      const bool guarded = body_.program.code[at].guard != kNoPlace;
      each_operand(at, [&](u32 r, u8 role) {  // a write under a guard leaves the old value in some lanes
        const bool read = (role & kRead) || guarded;
        if (read && !(piece.defined[r / 64] >> (r % 64) & 1)) piece.used[r / 64] |= u64{1} << (r % 64);
      });
      each_operand(at, [&](u32 r, u8 role) {
        if ((role & kWritten) && !guarded) piece.defined[r / 64] |= u64{1} << (r % 64);
      });
    }
  }

  void settle() {
    for (bool changed = true; changed;) {
      changed = false;
      for (size_t k = pieces_.size(); k-- > 0;) {
        Piece& piece = pieces_[k];
        for (size_t w = 0; w < words_; ++w) {
          u64 out = 0;
          for (u32 next : piece.next) out |= pieces_[next].alive_in[w];
          const u64 in = piece.used[w] | (out & ~piece.defined[w]);
          changed = changed || in != piece.alive_in[w];
          piece.alive_out[w] = out;
          piece.alive_in[w] = in;
        }
      }
    }
  }

  const Body& body_;
  size_t words_;
  std::vector<Piece> pieces_;
  std::vector<u32> piece_at_;
};

// Registers, in the order of their first instruction, take the place of one whose last instruction is past.
class Places {
 public:
  explicit Places(u32 frame) : end_(frame) {}

  u32 take(u32 bytes, Liveness::Span span) {
    auto& busy = busy_[std::bit_width(bytes)];
    for (auto& [free_at, place] : busy) {
      if (free_at <= span.first) {
        free_at = span.last + 1;
        return place;
      }
    }
    const u32 place = fresh(bytes);
    busy.emplace_back(span.last + 1, place);
    return place;
  }
  u32 fresh(u32 bytes) {
    const u32 place = end_;
    end_ += bytes == 0 ? 4 : bytes * kLanes;
    return place;
  }
  u32 end() const { return end_; }
  void align() { end_ = (end_ + 63) / 64 * 64; }

 private:
  std::array<std::vector<std::pair<u32, u32>>, 6> busy_;  // by size: free from this instruction on, place
  u32 end_;
};

}  // namespace

u32 place_registers(Body& body, std::vector<Register>& registers, u32 frame) {
  const Liveness liveness(body, registers.size());
  const auto spans = liveness.spans(registers.size());
  std::vector<u32> order;
  for (u32 r = 0; r < registers.size(); ++r) {
    if (spans[r].first != 0xffffffffu || static_cast<int>(r) == body.back) order.push_back(r);
  }
  std::sort(order.begin(), order.end(),
            [&](u32 a, u32 b) { return spans[a].first < spans[b].first || (spans[a].first == spans[b].first && a < b); });
  Places places(frame);
  for (u32 size : {16u, 8u, 4u, 2u, 0u}) {
    for (u32 r : order) {
      if (registers[r].bytes != size || registers[r].room > 0) continue;
      registers[r].place = body.entry && static_cast<int>(r) != body.back ? places.take(size, spans[r]) : places.fresh(size);
    }
    places.align();
  }
  for (Register& variable : registers) {  // calls read and write parameters without the above seeing it
    if (variable.room == 0) continue;
    variable.place = places.fresh(call_stride(variable.room));
    places.align();
  }
  Program& program = body.program;
  const auto placed = [&](u32 place) {
    return (place & kConstantBit) || !(place & kRegisterTag) ? place : registers[place & ~kRegisterTag].place;
  };
  const size_t end = body.first_place + body.roles.size();
  for (size_t k = body.first_place; k < end; ++k) program.places[k] = placed(program.places[k]);
  for (u32 at = body.first_code; at < body.end_code; ++at) {
    if (program.code[at].guard != kNoPlace) program.code[at].guard = placed(program.code[at].guard);
  }
  return places.end();
}

}  // namespace mirilla::ptx
