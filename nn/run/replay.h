// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/allocator.h"
#include "nn/modules/module.h"

/// Steps that a device was given once and does again, without the host's calls in between. docs/replay.md tells the whole.
namespace mirilla::nn {

enum class ReplayMode {
  automatic,  // where it gains something: on a GPU
  on,
  off,
};

/// "auto", "on" or "off". Throws UsageError for another word.
ReplayMode replay_mode_of(std::string_view word);

struct ReplayOptions {
  ReplayMode mode = ReplayMode::automatic;
  /// Told in a sentence, once, where a step could not be recorded and all go on eagerly. None: stderr is told.
  std::function<void(const std::string& sentence)> note = {};
};

/// Never in the check mode (engine/running.h), where each step is looked at. Throws DeviceError where it is to be on and the device has no
/// replay.
bool replays(ReplayMode mode, const Device& device);

/// Runs the same work on a model over and over: eagerly at first, so that plans are chosen and caches filled, then recorded, then replayed.
///
/// A work is recorded when it came twice in a row with nothing changed but values, and replayed as long as nothing else changes. What is
/// looked at before every run: the shapes and dtypes of its inputs, its key, which parameters want a gradient, each module's mode, the
/// dropouts' probabilities, the watches, and where all lasting tensors lie (so a state that was read from a file, an optimizer that was
/// cleared, or a half copy that moved count). A change makes the next run eager and the one after it a new recording; a shape that comes
/// once in a while, as a ragged last batch, is always eager and the recording stays. There is one recording at a time.
///
/// What the work allocates while it is recorded comes from a pool of its own, and stays where it is until the recording goes. The results
/// and what watches see of the pass lie there: the next replay overwrites them.
///
/// In the check mode (engine/running.h), which looks at each module's output, all runs are eager.
///
/// After a replay everything is as after the eager run, to the bit: versions of what it wrote have moved, half copies that the optimizer
/// wrote are current, and watches hold this pass.
class Replayer {
 public:
  explicit Replayer(Module& model, const ReplayOptions& options = {});
  ~Replayer();
  Replayer(const Replayer&) = delete;
  Replayer& operator=(const Replayer&) = delete;

  struct Work {
    std::vector<uint64_t> key = {};  // what else its course depends on
    bool of_these_values = false;    // its course depends on the model's values too (batch norms folded into weights)
    std::vector<Tensor> inputs;      // that are new each time
    /// Beside the model's parameters and buffers, what it reads or writes and did not make, as it is when this is asked.
    std::function<std::vector<Tensor>()> lasting = {};
    /// Starts the work on these inputs. Does not wait; reads everything that changes from step to step from tensors.
    std::function<Tensor(const std::vector<Tensor>& inputs)> run;
    /// Puts the host's side in order after a recording that failed midway: none of it was done.
    std::function<void()> forget = {};
  };
  /// Runs it in one way or another and gives what `run` gives. Throws what `run` throws, but where only the recording failed.
  Tensor operator()(const Work& work);

  bool active() const { return active_; }
  /// How often each way was gone.
  struct Counts {
    int64_t eager = 0, recorded = 0, replayed = 0;
  };
  const Counts& counts() const { return counts_; }

 private:
  struct Recording;
  std::vector<uint64_t> state_of(const Work& work) const;
  void refresh_copies();
  bool record(const Work& work, const std::vector<uint64_t>& state);
  Tensor replay(const Work& work);
  void drop();

  Module& model_;
  Device& device_;
  ReplayOptions options_;
  bool active_;
  std::vector<Module*> modules_;
  std::vector<Tensor> parameters_, buffers_;
  std::vector<uint64_t> last_;  // how things stood after the run before this one
  std::unique_ptr<Recording> recording_;
  Counts counts_;
};

}  // namespace mirilla::nn
