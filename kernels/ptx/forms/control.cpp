// SPDX-License-Identifier: MIT
#include "kernels/ptx/forms/form.h"
#include "kernels/ptx/forms/lanes.h"
#include "kernels/ptx/forms/memory.h"
#include "kernels/ptx/forms/print.h"
#include "kernels/ptx/parser.h"

// PTX ISA 9.7.12 and 9.7.19: bra, brx.idx, call, ret, exit, trap, nanosleep; the functions of CUDA's device library.

namespace mirilla::ptx {

namespace {

void nothing(const Instruction&, Warp&) {}

void trap(const Instruction& i, Warp& warp) { fail(warp, i, first_lane(warp.mask), Fault::Kind::kTrap, "the kernel stopped itself"); }

void bra(Form& form) {
  form.take("uni");
  form.wants_operands(1, 1);
  form.body.label_number(form.operand(0).word);
  form.out.step = Step::kBranch;
}

void brx(Form& form) {
  if (!form.take("idx")) form.unknown();
  form.take("uni");
  form.wants_operands(2, 2);
  form.from(0, Type::kU32);
  form.body.table(form.operand(1).word);
  form.out.step = Step::kTable;
}

void ret(Form& form) {
  form.take("uni");
  form.out.step = form.body.entry ? Step::kExit : Step::kReturn;
  form.out.target = form.body.self;
}

void leave(Form& form) { form.out.step = Step::kExit; }

const u8* room_of(const Instruction& i, const Warp& warp, u32 k, u32 lane) { return warp.at<u8>(i.place[k]) + lane * 8; }

// int vprintf(const char* format, void* arguments). Places: result, format, arguments.
void run_printf(const Instruction& i, Warp& warp) {
  each_lane(warp.mask, [&](u32 l) {
    u64 format = 0, arguments = 0;
    std::memcpy(&format, room_of(i, warp, 1, l), 8);
    std::memcpy(&arguments, room_of(i, warp, 2, l), 8);
    const std::string text = formatted(i, warp, l, format, arguments);
    if (warp.block->options->print) warp.block->options->print(text);
    const u32 given = static_cast<u32>(text.size());
    std::memcpy(warp.at<u8>(i.place[0]) + l * 8, &given, 4);
  });
}

// void __assertfail(const char* message, const char* file, unsigned line, const char* function, size_t char_size)
void run_assert(const Instruction& i, Warp& warp) {
  const u32 l = first_lane(warp.mask);
  u64 text[4]{};
  for (u32 k : {0u, 1u, 3u}) std::memcpy(&text[k], room_of(i, warp, k, l), 8);
  u32 line = 0;
  std::memcpy(&line, room_of(i, warp, 2, l), 4);
  fail(warp, i, l, Fault::Kind::kTrap,
       fmt::format("the assertion `{}` failed in {}, {}:{}", text_at(i, warp, l, text[0]), text_at(i, warp, l, text[3]),
                   text_at(i, warp, l, text[1]), line));
}

const Operand* list_of(const Operand& operand) { return operand.kind == Operand::Kind::kList ? &operand : nullptr; }

void rooms(Form& form, const Operand* list) {
  if (!list) return;
  for (const Operand& one : list->parts) {
    const int number = form.body.find_register(one.word);
    if (number < 0 || form.body.room_of_register(number) == 0) form.wrong(fmt::format("{} is not a variable in .param space", one.word));
    form.call_room(number);
  }
}

void builtin(Form& form, std::string_view name, size_t results, size_t parameters) {
  if (name == "vprintf") {
    if (results != 1 || parameters != 2) form.wrong("vprintf has two parameters and a result");
    return form.sets(run_printf);
  }
  if (parameters != 5) form.wrong("__assertfail has five parameters");
  form.sets(run_assert);
}

void call(Form& form) {
  form.take("uni");
  size_t at = 0;
  const Operand* results = list_of(form.operand(0));
  if (results) ++at;
  const Operand& function = form.operand(at++);
  const Operand* parameters = form.operands() > at ? list_of(form.operand(at++)) : nullptr;
  if (form.operands() > at || form.body.find_register(function.word) >= 0) form.unknown("a call through a pointer");
  rooms(form, results);
  rooms(form, parameters);
  const size_t given = parameters ? parameters->parts.size() : 0, wanted = results ? results->parts.size() : 0;
  if (is_builtin(function.word)) return builtin(form, function.word, wanted, given);
  form.out.target = form.body.function_number(function.word);
  form.out.lookup = static_cast<u32>(wanted);
  form.out.step = Step::kCall;
  form.body.calls.push_back({form.out.target, static_cast<u32>(given), static_cast<u32>(wanted)});
}

// No time passes here, but others run: those that the warp waits for, if it asks again and again.
void sleep(Form& form) {
  form.take_type();
  form.wants_operands(1, 1);
  form.from(0, Type::kU32);
  form.sets(nothing);
  form.out.step = Step::kSleep;
}

void ignored(Form& form) {  // pmevent: no visible effect
  form.wants_operands(1, 1);
  form.sets(nothing);
}

// A kernel begins here only when those before it in its stream have ended, so it has nothing to wait for.
void dependent_launch(Form& form) {
  if (form.take_one({"wait", "launch_dependents"}) < 0) form.unknown();
  form.wants_operands(0, 0);
  form.sets(nothing);
}

void trap_form(Form& form) { form.sets(trap); }

}  // namespace

bool is_builtin(std::string_view name) { return name == "vprintf" || name == "__assertfail"; }

void add_control_forms(Families& families) {
  families["bra"] = bra;
  families["brx"] = brx;
  families["call"] = call;
  families["ret"] = ret;
  families["exit"] = leave;
  families["griddepcontrol"] = dependent_launch;
  for (std::string_view name : {"trap", "brkpt"}) families[name] = trap_form;
  families["nanosleep"] = sleep;
  families["pmevent"] = ignored;
}

}  // namespace mirilla::ptx
