// SPDX-License-Identifier: MIT
#include "nn/run/input_place.h"

#include "engine/amp/autocast.h"
#include "nn/run/replay.h"

namespace mirilla::nn {

Placement input_placement(const Module& model, amp::Precision precision) {
  Placement placement = placement_of(model);
  if (precision != amp::Precision::fp32) placement.dtype = amp::dtype_of(precision);
  return placement;
}

InputPlace::InputPlace(const Module& model, amp::Precision precision, const Replayer& replayer)
    : placement_(input_placement(model, precision)), replayer_(&replayer) {
  padded_ = is_half(placement_.dtype) && model.takes_padded_pictures() && placement_.device.backend().has<op::PaddedPictures>();
}

Tensor InputPlace::room(int64_t n, int64_t size) const {
  const Shape shape{n, size, size, padded_ ? kPaddedChannels : kPictureChannels};
  return replayer_ ? replayer_->input(0, shape, placement_.dtype) : empty(shape, placement_.dtype, placement_.device);
}

void InputPlace::written(Tensor& room) const {
  if (padded_) room.set_used_channels(kPictureChannels);
}

void InputPlace::fill(Tensor& room, const Tensor& pictures) const {
  if (!padded_) return room.copy_from(pictures);
  const Tensor halves = pictures.to(placement_.device).to(placement_.dtype);
  const Tensor padding = zeros({room.size(0), room.size(1), room.size(2), kPaddedChannels - kPictureChannels}, room.dtype(), room.device());
  room.backend().run(op::Concat{halves, padding, room});
  written(room);
}

Tensor InputPlace::holding(const Tensor& pictures) const {
  Tensor to = room(pictures.size(0), pictures.size(1));
  fill(to, pictures);
  return to;
}

Tensor LastingInput::in(const InputPlace& place) {
  Tensor room = place.room(pictures_.size(0), pictures_.size(1));
  if (room.storage()->id() != storage_id_ || room.version() != version_) place.fill(room, pictures_);
  storage_id_ = room.storage()->id();
  version_ = room.version();
  return room;
}

}  // namespace mirilla::nn
