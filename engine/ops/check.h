// SPDX-License-Identifier: MIT
#pragma once

#include <string_view>

#include "engine/tensor.h"

/// The checks that operators make on their inputs, so that kernels can rely on them.
namespace mirilla::check {

/// Throws ShapeError unless both are on one device and of one dtype.
void same_kind(std::string_view op, const Tensor& a, const Tensor& b);
/// ... and of one shape.
void same(std::string_view op, const Tensor& a, const Tensor& b);
/// Throws ShapeError unless p, called `name`, is on x's device and has the dtype of a parameter for x: f32 where x is half, else
/// x's dtype.
void parameter_of(std::string_view op, std::string_view name, const Tensor& x, const Tensor& p);
/// Throws ShapeError unless x has this many dimensions; `form` names them: "(N,H,W,C)".
void rank(std::string_view op, const Tensor& x, int rank, std::string_view form);
/// Throws ShapeError unless x, called `name`, is (extent).
void vector_of(std::string_view op, std::string_view name, const Tensor& x, int64_t extent);

}  // namespace mirilla::check
