// SPDX-License-Identifier: MIT
#pragma once

#include <vector>

#include "nn/modules/module.h"
#include "nn/train/optimizer.h"

namespace mirilla::nn {

/// Trains the parameter groups from `first` on (counted from the end if negative: -1 is only the last) and, in the groups before, only the
/// batch norms' parameters; requires_grad of the others is turned off and their gradients are cleared. Clears the optimizer's state.
/// [fastai.learner.Learner.freeze_to with train_bn=True]
/// Running statistics are not parameters: they change in every training step. Throws Error for a group that does not exist.
void freeze_to(Module& model, Optimizer& optimizer, int first);

/// Freezes everything except the last group.
inline void freeze(Module& model, Optimizer& optimizer) { freeze_to(model, optimizer, -1); }
inline void unfreeze(Module& model, Optimizer& optimizer) { freeze_to(model, optimizer, 0); }

}  // namespace mirilla::nn
