// SPDX-License-Identifier: MIT
#include "nn/run/replay.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstdio>

#include "engine/amp/autocast.h"
#include "engine/running.h"
#include "nn/modules/layers.h"

namespace mirilla::nn {

ReplayMode replay_mode_of(std::string_view word) {
  if (word == "auto") return ReplayMode::automatic;
  if (word == "on") return ReplayMode::on;
  if (word == "off") return ReplayMode::off;
  throw UsageError(fmt::format("replay is auto, on or off, and '{}' came", word));
}

bool replays(ReplayMode mode, const Device& device) {
  if (mode == ReplayMode::on && !device.can_replay())
    throw DeviceError(fmt::format("the device '{}' has no replay, and steps were to be replayed", device.name()),
                      "'cuda' and 'simt' have it; without it steps run eagerly, to the same bits");
  if (running::checking()) return false;  // the outputs of a recording cannot be checked
  return mode == ReplayMode::on || (mode == ReplayMode::automatic && device.can_replay() && device.name() == "cuda");
}

namespace {

uint64_t id_of(const Tensor& tensor) { return tensor ? tensor.storage()->id() : 0; }

bool has_gradient(const Tensor& tensor) { return tensor.grad_state() && tensor.grad_state()->holder().grad; }

void say(const ReplayOptions& options, const std::string& sentence) {
  if (options.note) return options.note(sentence);
  std::fputs((sentence + "\n").c_str(), stderr);
}

}  // namespace

struct Replayer::Recording {
  explicit Recording(Device& device) : pool(Allocator::of(device)) {}

  Allocator::Pool pool;  // outlives everything in it
  std::unique_ptr<DeviceReplay> replay;
  std::vector<uint64_t> state;
  std::vector<Tensor> inputs;  // read by a replay
  Tensor result;
  Writes writes;
  std::vector<std::pair<Tensor, DType>> copied;  // parameters whose half copy is current at its end, and its dtype
  struct Seen {
    std::weak_ptr<Capture> capture;
    std::vector<Capture::Call> calls;
  };
  std::vector<Seen> seen;  // of the watches
};

Replayer::Replayer(Module& model, const ReplayOptions& options)
    : model_(model), device_(placement_of(model).device), options_(options), active_(replays(options.mode, device_)) {
  if (!active_) return;
  for (const auto& [name, module] : model.modules()) modules_.push_back(module);
  for (const NamedTensor& named : model.parameters()) parameters_.push_back(named.tensor);
  for (const NamedTensor& named : model.buffers()) buffers_.push_back(named.tensor);
}

Replayer::~Replayer() { drop(); }

// The device may still be executing this, and the pool's memory is about to be given to others.
void Replayer::drop() {
  if (!recording_) return;
  try {
    device_.synchronize();
  } catch (const Error&) {  // the device failed and uses nothing any more
  }
  recording_ = nullptr;
}

std::vector<uint64_t> Replayer::state_of(const Work& work) const {
  std::vector<uint64_t> state = work.key;
  for (const Tensor& input : work.inputs) {
    state.push_back(static_cast<uint64_t>(input.dtype()));
    for (const int64_t extent : input.shape()) state.push_back(static_cast<uint64_t>(extent));
    state.push_back(static_cast<uint64_t>(input.shape().rank() > 0 ? input.used_channels() : 0));
  }
  for (Module* module : modules_) {
    const auto capture = module->capture();
    state.push_back(module->training());
    state.push_back(capture ? capture->id : 0);
    if (const auto* dropout = dynamic_cast<const Dropout*>(module)) state.push_back(std::bit_cast<uint64_t>(dropout->p()));
  }
  for (const Tensor& parameter : parameters_) {
    state.push_back(id_of(parameter));
    for (const HalfCopy* copy : {&parameter.half_copies().f16, &parameter.half_copies().bf16})
      for (const Tensor* tensor : {&copy->tensor, &copy->padded}) state.push_back(id_of(*tensor));
    state.push_back((parameter.requires_grad() ? 1u : 0u) | (has_gradient(parameter) ? 2u : 0u));
  }
  for (const Tensor& buffer : buffers_) state.push_back(id_of(buffer));
  if (work.lasting)
    for (const Tensor& tensor : work.lasting()) state.push_back(id_of(tensor));
  if (work.of_these_values)
    for (const auto* all : {&parameters_, &buffers_})
      for (const Tensor& tensor : *all) state.push_back(tensor.version());
  return state;
}

// Updates a stale copy as the eager run would; if it were recorded, every replay would do it.
void Replayer::refresh_copies() {
  for (const Tensor& parameter : parameters_) {
    const DType last = parameter.half_copies().last;
    for (const DType half : {DType::f16, DType::bf16}) {
      const HalfCopy& kept = parameter.half_copies().of(half);
      if (kept.tensor && kept.version != parameter.version()) amp::half_copy(parameter, half);
    }
    parameter.half_copies().last = last;
  }
}

Tensor Replayer::operator()(const Work& work) {
  if (!active_ || running::checking()) {  // a replay cannot check the output of each module
    ++counts_.eager;
    return work.run(work.inputs);
  }
  refresh_copies();
  const std::vector<uint64_t> state = state_of(work);
  const bool recorded = recording_ && recording_->state == state;
  if (recorded && takes_inputs_of(work)) return replay(work);
  if (!recorded && last_ == state && record(work, state)) return replay(work);
  Tensor result = work.run(work.inputs);
  ++counts_.eager;
  last_ = active_ ? state_of(work) : std::vector<uint64_t>();
  return result;
}

Tensor Replayer::input(size_t index, const Shape& shape, DType dtype) const {
  if (recording_ && active_ && index < recording_->inputs.size()) {
    const Tensor& own = recording_->inputs[index];
    if (own.is_sole_owner() && own.shape() == shape && own.dtype() == dtype) return own;
  }
  return empty(shape, dtype, device_);
}

bool Replayer::record(const Work& work, const std::vector<uint64_t>& state) {
  drop();
  Allocator::of(device_).trim();  // frees the eager step's memory, which is not needed beside the recording's
  auto fresh = std::make_unique<Recording>(device_);
  fresh->state = state;
  for (const Tensor& input : work.inputs) {
    Tensor& own = fresh->inputs.emplace_back(empty_like(input));
    if (input.shape().rank() > 0) own.set_used_channels(input.used_channels());
  }
  const auto forget = [&] {
    for (Module* module : modules_)
      if (const auto capture = module->capture()) capture->calls.clear();
    if (work.forget) work.forget();
  };
  // The error may be the device's: then running eagerly cannot help either, and waiting for it throws that error.
  const auto go_on_eagerly = [&](const DeviceError& error) {
    forget();
    device_.synchronize();
    run_eagerly_from_now_on(error);
    return false;
  };
  try {
    const PoolScope scope(Allocator::of(device_), fresh->pool);
    const Writes::Listen listen(fresh->writes);
    fresh->replay = device_.record([&] { fresh->result = work.run(fresh->inputs).detach(); });
    if (state_of(work) != state) throw DeviceError("the step left something behind that was not there when it began");
  } catch (const DeviceError& error) {
    fresh = nullptr;
    return go_on_eagerly(error);
  } catch (...) {
    forget();
    throw;
  }
  ++counts_.recorded;
  for (const Tensor& parameter : parameters_)
    if (const Tensor copy = amp::current_half_copy(parameter)) fresh->copied.emplace_back(parameter, copy.dtype());
  for (Module* module : modules_)
    if (const auto capture = module->capture()) fresh->seen.push_back({.capture = capture, .calls = capture->calls});
  recording_ = std::move(fresh);
  return true;
}

void Replayer::run_eagerly_from_now_on(const DeviceError& error) {
  active_ = false;
  say(options_, fmt::format("note: steps cannot be replayed and run eagerly, slower and to the same bits: {}", error.message()));
}

// Not where an input would have to be copied over one that somebody else holds.
bool Replayer::takes_inputs_of(const Work& work) const {
  for (size_t i = 0; i < work.inputs.size(); ++i)
    if (const Tensor& own = recording_->inputs[i]; !own.is_same_view(work.inputs[i]) && !own.is_sole_owner()) return false;
  return true;
}

Tensor Replayer::replay(const Work& work) {
  Recording& now = *recording_;
  for (size_t i = 0; i < now.inputs.size(); ++i)
    if (!now.inputs[i].is_same_view(work.inputs[i])) now.inputs[i].copy_from(work.inputs[i]);
  try {
    now.replay->run();
  } catch (const OutOfMemory& error) {  // a GPU may need memory of its own when a replay starts, and has done nothing yet
    drop();
    Allocator::of(device_).trim();
    run_eagerly_from_now_on(error);
    ++counts_.eager;
    return work.run(work.inputs);
  }
  ++counts_.replayed;
  now.writes.touch();
  for (const auto& [parameter, half] : now.copied) amp::mark_half_copy_replayed(parameter, half);
  for (Recording::Seen& seen : now.seen) {
    for (Capture::Call& call : seen.calls) call.output.renew();
    if (const auto capture = seen.capture.lock()) capture->calls = seen.calls;
  }
  return now.result;
}

}  // namespace mirilla::nn
