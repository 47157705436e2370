// SPDX-License-Identifier: MIT
#include "kernels/ptx/machine.h"

#include "kernels/ptx/count.h"
#include "kernels/ptx/detect/race.h"
#include "kernels/ptx/schedule.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <random>
#include <thread>

namespace mirilla::ptx {

namespace {

constexpr u32 kReservedShared = 1024;  // bytes of each block's shared memory that belong to the system
constexpr u32 kSharedUnit = 128;       // in which shared memory is given to blocks
constexpr u64 kAlone = 1 << 22;        // warp instructions; a block that runs longer may be waiting for another, so others run beside it

struct Launch {
  const Module& module;
  const Kernel& kernel;
  Dim grid, dim;
  const u8* parameters;
  u32 shared_bytes;
  const Options& options;
  u32 number;
  std::vector<u32> order;  // of the blocks; empty: natural order
  LaunchRaces races;
  std::atomic<u64> next{0};
  std::atomic<bool> over{false};
  std::mutex mutex;
  std::exception_ptr first;
  Work work;
};

u32 reserved_shared(const Program& program) {
  return program.used_specials >> static_cast<u32>(Special::kTotalShared) & 1u ? kReservedShared : 0;
}

[[noreturn]] void beyond(const Kernel& kernel, std::string_view what, std::string_view hint = {}) {
  Fault fault(Fault::Kind::kLimit, fmt::format("{}: {}: {}", kernel.name, name_of(Fault::Kind::kLimit), what), hint);
  fault.kernel = kernel.name;
  throw fault;
}

}  // namespace

void check_launch(const Kernel& kernel, Dim grid, Dim block, size_t parameters, size_t dynamic_shared, const Limits& limits) {
  const u64 threads = block.count();
  const auto fits = [&](Dim what, Dim most, std::string_view name) {
    if (what.x == 0 || what.y == 0 || what.z == 0 || what.x > most.x || what.y > most.y || what.z > most.z) {
      beyond(kernel, fmt::format("a {} of ({},{},{}), and ({},{},{}) is the most", name, what.x, what.y, what.z, most.x, most.y, most.z));
    }
  };
  fits(grid, limits.grid, "grid");
  fits(block, limits.block, "block");
  if (threads > limits.threads) beyond(kernel, fmt::format("{} threads in a block, and {} is the most", threads, limits.threads));
  const u64 most = u64{kernel.max_threads[0]} * kernel.max_threads[1] * kernel.max_threads[2];
  if (most && threads > most)
    beyond(kernel, fmt::format("{} threads in a block, and its __launch_bounds__ promise at most {}", threads, most));
  const Dim wanted{kernel.wanted_threads[0], kernel.wanted_threads[1], kernel.wanted_threads[2]};
  if (wanted.x && block != wanted)
    beyond(kernel,
           fmt::format("a block of ({},{},{}), and .reqntid wants ({},{},{})", block.x, block.y, block.z, wanted.x, wanted.y, wanted.z));
  if (parameters != kernel.parameter_bytes)
    beyond(kernel, fmt::format("{} bytes of parameters, and {} are declared", parameters, kernel.parameter_bytes));
  if (kernel.shared_bytes > limits.static_shared)
    beyond(kernel, fmt::format("{} bytes of static shared memory, and {} is the most", kernel.shared_bytes, limits.static_shared));
  const size_t shared = dynamic_shared ? kernel.dynamic_offset + dynamic_shared : kernel.shared_bytes;
  if (shared > limits.shared) beyond(kernel, fmt::format("{} bytes of shared memory, and {} is the most", shared, limits.shared));
  const u64 registers = (threads + kLanes - 1) / kLanes * kLanes * limits.registers_per_thread;
  if (registers > limits.registers) {
    beyond(kernel,
           fmt::format("{} threads with {} registers each, and a block has {}", threads, limits.registers_per_thread, limits.registers),
           "__launch_bounds__ makes the compiler use fewer");
  }
}

/// A host thread's blocks and their buffers.
class Worker {
 public:
  void run(Launch& launch) {
    try {
      blocks_of(launch);
    } catch (...) {
      const std::lock_guard lock(launch.mutex);
      if (!launch.first) launch.first = std::current_exception();
      launch.over = true;
    }
    const std::lock_guard lock(launch.mutex);
    for (auto& room : rooms_) {
      launch.work.warp_instructions += room->block.warp_instructions;
      launch.work.lane_instructions += room->block.lane_instructions;
      launch.work.blocks += room->finished;
      room->block.warp_instructions = room->block.lane_instructions = room->finished = 0;
    }
  }

 private:
  struct Room {
    Block block;
    std::unique_ptr<Schedule> schedule;
    std::unique_ptr<RaceWatch> races;
    u64 finished = 0;
    u64 begun = 0;
  };

  void blocks_of(Launch& launch) {
    std::mt19937_64 random(launch.options.seed);
    const bool wander = launch.options.seed != 0;
    found_.assign(launch.module.program().memory_instructions, Found{});
    size_t wanted = wander ? 1 + random() % 4 : 1;
    if (launch.options.cooperative) wanted = launch.grid.count();
    std::vector<Room*> live;
    while (live.size() < wanted && begin(launch, live)) continue;
    size_t turn = 0;
    while (!live.empty()) {
      if (launch.over) return;
      turn = wander ? random() % live.size() : (turn + 1) % live.size();
      Room& room = *live[turn];
      if (room.schedule->turn()) {
        if (room.block.warp_instructions > room.begun + kAlone) {
          room.begun = room.block.warp_instructions;
          begin(launch, live);
        }
        continue;
      }
      ++room.finished;
      live.erase(live.begin() + static_cast<s64>(turn));
      if (live.size() < wanted) begin(launch, live);
    }
  }

  bool begin(Launch& launch, std::vector<Room*>& live) {
    const u64 next = launch.next++;
    if (next >= launch.grid.count()) return false;
    Room* free = nullptr;
    for (auto& room : rooms_) {
      if (std::find(live.begin(), live.end(), room.get()) == live.end()) free = room.get();
    }
    if (!free) {
      rooms_.push_back(std::make_unique<Room>());
      free = rooms_.back().get();
    }
    set(launch, *free, launch.order.empty() ? next : launch.order[next]);
    live.push_back(free);
    return true;
  }

  void set(Launch& launch, Room& room, u64 number) {
    Block& block = room.block;
    block.program = &launch.module.program();
    block.kernel = &launch.kernel;
    block.worker = this;
    block.memory = &launch.module.memory();
    block.options = &launch.options;
    block.grid = launch.grid;
    block.dim = launch.dim;
    block.number = number;
    block.id = {static_cast<u32>(number % launch.grid.x), static_cast<u32>(number / launch.grid.x % launch.grid.y),
                static_cast<u32>(number / launch.grid.x / launch.grid.y)};
    block.launch = launch.number;
    block.threads = static_cast<u32>(launch.dim.count());
    block.shared_bytes = launch.shared_bytes;
    block.local_bytes = static_cast<u32>(launch.kernel.local_bytes);
    block.parameters = launch.parameters;
    block.parameter_bytes = launch.kernel.parameter_bytes;
    block.found = found_.data();
    block.barriers.fill({});
    set_memory(block, launch.options.detect);
    set_warps(block);
    room.races.reset();
    if (launch.options.detect.races) room.races = std::make_unique<RaceWatch>(block, launch.races);
    block.races = room.races.get();
    room.begun = block.warp_instructions;
    room.schedule = std::make_unique<Schedule>(block, launch.options.seed, launch.options.patience);
  }

  // Static and dynamic. The system's part comes behind them where the kernel may ask for its place, that is for their sum.
  static u32 own_shared(const Block& block) { return block.shared_bytes - reserved_shared(*block.program); }

  static u8* aligned(std::vector<u8>& room, size_t bytes, u8 rubbish) {
    if (room.size() < bytes + 64) room.resize(bytes + 64);
    u8* begin = reinterpret_cast<u8*>((reinterpret_cast<u64>(room.data()) + 63) / 64 * 64);
    std::memset(begin, rubbish, bytes);
    return begin;
  }

  // Fill unwritten memory with a finite garbage value, not NaN: a comparison with NaN could hide its effect.
  static void set_memory(Block& block, const Detectors& detect) {
    block.shared = aligned(block.shared_room, block.shared_bytes, 0x5b);
    const u32 own = own_shared(block);
    std::memset(block.shared + own, 0, block.shared_bytes - own);
    const size_t local = u64{block.local_bytes} * ((block.threads + kLanes - 1) / kLanes * kLanes);
    block.local = aligned(block.local_room, local, 0x5b);
    block.shared_written.assign(detect.unwritten ? block.shared_bytes : 0, 0);
    if (detect.unwritten) std::fill(block.shared_written.begin() + own, block.shared_written.end(), u8{1});
    block.local_written.assign(detect.unwritten ? local : 0, 0);
  }

  static void set_warps(Block& block) {
    const u32 warps = (block.threads + kLanes - 1) / kLanes;
    const u32 frame = (block.kernel->frame_bytes + 63) / 64 * 64;
    u8* registers = aligned(block.register_room, u64{frame} * warps, 0x5b);
    block.warps.resize(warps);
    for (u32 w = 0; w < warps; ++w) {
      Warp& warp = block.warps[w];
      warp.base = {registers + u64{frame} * w, block.program->constants};
      warp.index = w;
      warp.block = &block;
      const u32 lanes = std::min(kLanes, block.threads - w * kLanes);
      warp.alive = lanes == kLanes ? kAllLanes : (1u << lanes) - 1;
      warp.current = {0, warp.alive};
      warp.current.pc = block.kernel->first;
      warp.others.clear();
      warp.late.clear();
      warp.groups.fill(0);
      warp.carry_bits = 0;
      set_specials(block, warp);
    }
  }

  static void set_specials(const Block& block, Warp& warp) {
    for (u32 bits = block.program->used_specials; bits; bits &= bits - 1) {
      const u32 which = first_lane(bits);
      u32* to = warp.at<u32>(which * 128);
      for (u32 l = 0; l < kLanes; ++l) to[l] = special(block, warp, static_cast<Special>(which), l);
    }
  }

  static u32 special(const Block& block, const Warp& warp, Special which, u32 lane) {
    const u32 t = warp.index * kLanes + lane;
    switch (which) {
      case Special::kTidX: return t % block.dim.x;
      case Special::kTidY: return t / block.dim.x % block.dim.y;
      case Special::kTidZ: return t / block.dim.x / block.dim.y;
      case Special::kNtidX: return block.dim.x;
      case Special::kNtidY: return block.dim.y;
      case Special::kNtidZ: return block.dim.z;
      case Special::kCtaidX: return block.id.x;
      case Special::kCtaidY: return block.id.y;
      case Special::kCtaidZ: return block.id.z;
      case Special::kNctaidX: return block.grid.x;
      case Special::kNctaidY: return block.grid.y;
      case Special::kNctaidZ: return block.grid.z;
      case Special::kLane: return lane;
      case Special::kWarp: return warp.index;
      case Special::kWarps: return static_cast<u32>(block.warps.size());
      case Special::kLanemaskEq: return 1u << lane;
      case Special::kLanemaskLt: return (1u << lane) - 1;
      case Special::kLanemaskLe: return ((1u << lane) - 1) | (1u << lane);
      case Special::kLanemaskGt: return ~(((1u << lane) - 1) | (1u << lane));
      case Special::kLanemaskGe: return ~((1u << lane) - 1);
      case Special::kSm: return static_cast<u32>(block.number % 16);
      case Special::kSms: return 16;
      case Special::kOne: return 1;
      case Special::kDynamicShared:
        return own_shared(block) > block.kernel->dynamic_offset ? own_shared(block) - static_cast<u32>(block.kernel->dynamic_offset) : 0;
      case Special::kTotalShared: return own_shared(block);
      case Special::kWorkspaceLow: return static_cast<u32>(block.options->workspace);
      case Special::kWorkspaceHigh: return static_cast<u32>(block.options->workspace >> 32);
      case Special::kZero:
      case Special::kCount: break;
    }
    return 0;
  }

  std::vector<std::unique_ptr<Room>> rooms_;
  std::vector<Found> found_;
};

Machine::Machine() = default;
Machine::~Machine() = default;

Work Machine::launch(const Module& module, const Kernel& kernel, Dim grid, Dim block, std::span<const std::byte> parameters,
                     size_t dynamic_shared, const Options& options) {
  check_launch(kernel, grid, block, parameters.size(), dynamic_shared, options.limits);
  const size_t shared = dynamic_shared ? kernel.dynamic_offset + dynamic_shared : kernel.shared_bytes;
  // The unit is seen only where the kernel asks for the sum: else an access past the end is found to the byte.
  const u32 reserved = reserved_shared(module.program());
  const size_t given = reserved ? (shared + kSharedUnit - 1) / kSharedUnit * kSharedUnit + reserved : shared;
  const u32 both = 1u << static_cast<u32>(Special::kTotalShared) | 1u << static_cast<u32>(Special::kDynamicShared);
  if (given != shared + reserved && (module.program().used_specials & both) == both)
    beyond(kernel,
           fmt::format("{} bytes of shared memory, and with both %dynamic_smem_size and %total_smem_size only multiples of {} are known",
                       shared, kSharedUnit));
  std::vector<u64> copy((parameters.size() + 7) / 8 + 1);  // aligned, and safe from later changes
  if (!parameters.empty()) std::memcpy(copy.data(), parameters.data(), parameters.size());
  Launch launch{module, kernel, grid, block, reinterpret_cast<const u8*>(copy.data()), static_cast<u32>(given), options, ++launches_};
  launch.races.launch = launches_;
  if (options.counts) options.counts->now.assign(module.program().code.size(), Count{});
  if (options.seed) {
    launch.order.resize(grid.count());
    for (u32 k = 0; k < launch.order.size(); ++k) launch.order[k] = k;
    std::mt19937_64 random(options.seed + launches_);
    std::shuffle(launch.order.begin(), launch.order.end(), random);
  }
  const bool alone = options.seed || options.counts || options.found || options.detect.unwritten || options.detect.races ||
                     options.detect.constant || options.cooperative;
  const unsigned most = options.threads ? options.threads : std::max(1u, std::thread::hardware_concurrency());
  const size_t threads = alone ? 1 : std::min<u64>(most, grid.count());
  while (workers_.size() < threads) workers_.push_back(std::make_unique<Worker>());
  std::vector<std::thread> company;
  for (size_t k = 1; k < threads; ++k) company.emplace_back([&launch, worker = workers_[k].get()] { worker->run(launch); });
  workers_[0]->run(launch);
  for (std::thread& other : company) other.join();
  if (options.counts) add_launch(*options.counts, module.program(), kernel);
  if (launch.first) std::rethrow_exception(launch.first);
  return launch.work;
}

}  // namespace mirilla::ptx
