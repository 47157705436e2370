// SPDX-License-Identifier: MIT
#include <omp.h>

#include <algorithm>
#include <oneapi/dnnl/dnnl.hpp>
#include <unordered_map>

#include "bench/convolutions.h"
#include "kernels/host/threads.h"

namespace mirilla::bench {

namespace {

using Desc = dnnl::memory::desc;
using Tag = dnnl::memory::format_tag;
constexpr auto kF32 = dnnl::memory::data_type::f32;

/// A primitive and its operands.
struct Call {
  dnnl::primitive primitive;
  std::unordered_map<int, dnnl::memory> arguments;
};

/// Memory with small numbers in it: zeros and denormals run at other speeds.
dnnl::memory filled(const Desc& desc, const dnnl::engine& engine) {
  dnnl::memory memory(desc, engine);
  auto* values = static_cast<float*>(memory.get_data_handle());
  for (size_t i = 0; i < desc.get_size() / sizeof(float); ++i) values[i] = 0.01f * static_cast<float>(i % 17) - 0.08f;
  return memory;
}

/// Shared by the three directions of one convolution.
struct Problem {
  Desc x, w, y;
  dnnl::memory::dims stride, dilation, padding, padding_end;

  explicit Problem(const Convolution& c)
      : x({c.pictures, c.channels, c.extent, c.extent}, kF32, Tag::any),
        w({c.outputs, c.channels, c.kernel, c.kernel}, kF32, Tag::any),
        y({c.pictures, c.outputs, c.out_extent(), c.out_extent()}, kF32, Tag::any),
        stride{c.spec.stride, c.spec.stride},
        dilation{c.spec.dilation - 1, c.spec.dilation - 1},
        padding{c.spec.padding, c.spec.padding} {
    const int64_t end = (c.out_extent() - 1) * c.spec.stride + c.spec.dilation * (c.kernel - 1) + 1 - c.extent - c.spec.padding;
    padding_end = {end, end};
  }
};

}  // namespace

struct ConvolutionsAlone::State {
  dnnl::engine engine{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream{engine};
  std::vector<Call> calls;

  void add(const Convolution& convolution, bool training, std::vector<Call>& backward) {
    constexpr auto kDirect = dnnl::algorithm::convolution_direct;
    const Problem p(convolution);
    const dnnl::convolution_forward::primitive_desc forward(
        engine, training ? dnnl::prop_kind::forward_training : dnnl::prop_kind::forward_inference, kDirect, p.x, p.w, p.y, p.stride,
        p.dilation, p.padding, p.padding_end);
    dnnl::memory x = filled(forward.src_desc(), engine), y = filled(forward.dst_desc(), engine);
    calls.push_back({dnnl::convolution_forward(forward),
                     {{DNNL_ARG_SRC, x}, {DNNL_ARG_WEIGHTS, filled(forward.weights_desc(), engine)}, {DNNL_ARG_DST, y}}});
    if (!training) return;
    const dnnl::convolution_backward_weights::primitive_desc weights(engine, kDirect, p.x, p.w, p.y, p.stride, p.dilation, p.padding,
                                                                     p.padding_end, forward);
    dnnl::memory dy = filled(weights.diff_dst_desc(), engine);
    if (!convolution.first) {
      const dnnl::convolution_backward_data::primitive_desc data(engine, kDirect, p.x, p.w, p.y, p.stride, p.dilation, p.padding,
                                                                 p.padding_end, forward);
      backward.push_back({dnnl::convolution_backward_data(data),
                          {{DNNL_ARG_DIFF_DST, data.diff_dst_desc() == weights.diff_dst_desc() ? dy : filled(data.diff_dst_desc(), engine)},
                           {DNNL_ARG_WEIGHTS, filled(data.weights_desc(), engine)},
                           {DNNL_ARG_DIFF_SRC, filled(data.diff_src_desc(), engine)}}});
    }
    backward.push_back({dnnl::convolution_backward_weights(weights),
                        {{DNNL_ARG_SRC, weights.src_desc() == forward.src_desc() ? x : filled(weights.src_desc(), engine)},
                         {DNNL_ARG_DIFF_DST, dy},
                         {DNNL_ARG_DIFF_WEIGHTS, filled(weights.diff_weights_desc(), engine)}}});
  }
};

ConvolutionsAlone::ConvolutionsAlone(const std::vector<Convolution>& convolutions, bool training) : state_(std::make_unique<State>()) {
  omp_set_num_threads(host_threads());
  std::vector<Call> backward;
  for (const Convolution& convolution : convolutions) state_->add(convolution, training, backward);
  state_->calls.insert(state_->calls.end(), std::make_move_iterator(backward.rbegin()), std::make_move_iterator(backward.rend()));
}

ConvolutionsAlone::~ConvolutionsAlone() = default;

bool ConvolutionsAlone::available() { return true; }

void ConvolutionsAlone::run() {
  omp_set_num_threads(host_threads());
  for (Call& call : state_->calls) call.primitive.execute(state_->stream, call.arguments);
  state_->stream.wait();
}

}  // namespace mirilla::bench
