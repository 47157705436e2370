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

/// Steps that a device records once and runs again, without calls from the host in between. docs/replay.md explains it.
namespace mirilla::nn {

enum class ReplayMode {
  automatic,  // on if it gains speed: on a GPU
  on,
  off,
};

/// "auto", "on" or "off". Throws UsageError for another word.
ReplayMode replay_mode_of(std::string_view word);

struct ReplayOptions {
  ReplayMode mode = ReplayMode::automatic;
  /// Called once, with a sentence, if a step could not be recorded and all steps continue eagerly. Empty: writes to stderr.
  std::function<void(const std::string& sentence)> note = {};
};

/// Never in the check mode (engine/running.h), where each step is checked. Throws DeviceError if it should be on and the device has no
/// replay.
bool replays(ReplayMode mode, const Device& device);

/// Runs the same work on a model repeatedly: eagerly at first, so that plans are chosen and caches filled, then recorded, then replayed.
///
/// A work is recorded when it ran twice in a row with only values changed, and replayed as long as nothing else changes. Compared
/// before every run are: the shapes and dtypes of its inputs, its key, which parameters need a gradient, each module's mode, the
/// dropouts' probabilities, the watches, and the addresses of all lasting tensors (so a state that was read from a file, an optimizer that
/// was cleared, or a half copy that moved is noticed). A change makes the next run eager and the one after it a new recording; an
/// occasional other shape, such as a shorter last batch, is always eager and the recording stays. There is one recording at a time.
///
/// Memory allocated while the work is recorded comes from a separate pool, and keeps its address until the recording ends. The results
/// and watched tensors of the pass are in it: the next replay overwrites them.
///
/// In the check mode (engine/running.h), which checks each module's output, all runs are eager.
///
/// After a replay everything has the same bits as after the eager run: versions of written tensors have moved, half copies that the
/// optimizer wrote are current, and watches hold this pass.
class Replayer {
 public:
  explicit Replayer(Module& model, const ReplayOptions& options = {});
  ~Replayer();
  Replayer(const Replayer&) = delete;
  Replayer& operator=(const Replayer&) = delete;

  struct Work {
    std::vector<uint64_t> key = {};  // everything else that its course depends on
    bool of_these_values = false;    // its course also depends on the model's values (batch norms folded into weights)
    std::vector<Tensor> inputs;      // that are new each time
    /// Other tensors that it reads or writes and did not make, apart from the model's parameters and buffers; called before each run.
    std::function<std::vector<Tensor>()> lasting = {};
    /// Starts the work on these inputs. Does not wait; reads everything that changes from step to step from tensors.
    std::function<Tensor(const std::vector<Tensor>& inputs)> run;
    /// Restores the host's state after a recording that failed midway: none of its work was done.
    std::function<void()> forget = {};
  };
  /// Runs the work eagerly or as a replay and returns the result of `run`. An input that is not the recording's own, from input(), is
  /// copied there before a replay. Throws what `run` throws, except if only the recording failed or the device has no memory for the
  /// replay: from then on all runs are eager.
  Tensor operator()(const Work& work);

  /// A tensor for a coming work's input number `index`, to be written and given to it: the recording's own, if it has one of this shape and
  /// dtype that nobody else holds, so that a replay finds its input in place and copies nothing; else a new one. Nobody's input is ever
  /// overwritten: where the recording's own is still held, by a tape or because batches are made ahead, and another comes, that runs
  /// eagerly.
  Tensor input(size_t index, const Shape& shape, DType dtype) const;

  bool active() const { return active_; }
  /// Runs of each kind.
  struct Counts {
    int64_t eager = 0, recorded = 0, replayed = 0;
  };
  const Counts& counts() const { return counts_; }

 private:
  struct Recording;
  std::vector<uint64_t> state_of(const Work& work) const;
  void refresh_copies();
  bool takes_inputs_of(const Work& work) const;
  bool record(const Work& work, const std::vector<uint64_t>& state);
  Tensor replay(const Work& work);
  void drop();
  void run_eagerly_from_now_on(const DeviceError& error);

  Module& model_;
  Device& device_;
  ReplayOptions options_;
  bool active_;
  std::vector<Module*> modules_;
  std::vector<Tensor> parameters_, buffers_;
  std::vector<uint64_t> last_;  // the state after the previous run
  std::unique_ptr<Recording> recording_;
  Counts counts_;
};

}  // namespace mirilla::nn
