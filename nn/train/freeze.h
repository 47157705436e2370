// SPDX-License-Identifier: MIT
#pragma once

#include <vector>

#include "nn/modules/module.h"
#include "nn/train/optimizer.h"

namespace mirilla::nn {

/// Trains the parameter groups from `first` on (counted from the back where negative: -1 is the last alone) and, in the groups before, the
/// batch norms' parameters only; the others' requires_grad goes off and their gradients are forgotten. Clears the optimizer's state.
/// [fastai.learner.Learner.freeze_to with train_bn=True]
/// Running statistics are not parameters: they move in every training step. Throws Error for a group that is not there.
void freeze_to(Module& model, Optimizer& optimizer, int first);

/// Everything but the last group.
inline void freeze(Module& model, Optimizer& optimizer) { freeze_to(model, optimizer, -1); }
inline void unfreeze(Module& model, Optimizer& optimizer) { freeze_to(model, optimizer, 0); }

}  // namespace mirilla::nn
