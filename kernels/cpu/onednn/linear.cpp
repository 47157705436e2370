// SPDX-License-Identifier: MIT
#include <cstring>

#include "kernels/cpu/common.h"
#include "kernels/cpu/onednn/state.h"

namespace mirilla::cpu {

namespace {

using Desc = dnnl::memory::desc;
using Tag = dnnl::memory::format_tag;
constexpr auto kF32 = dnnl::memory::data_type::f32;

Operation make_matmul(const dnnl::engine& engine, int64_t m, int64_t n, int64_t k, const MatmulSpec& spec) {
  const Desc a({m, k}, kF32, spec.transpose_a ? Tag::ba : Tag::ab);
  const Desc b({k, n}, kF32, spec.transpose_b ? Tag::ba : Tag::ab);
  const Desc y({m, n}, kF32, Tag::ab);
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  attributes.set_fpmath_mode(dnnl::fpmath_mode::strict);
  const dnnl::matmul::primitive_desc desc(engine, a, b, y, attributes);
  Operation operation;
  operation.primitive = dnnl::matmul(desc);
  operation.x.ours = a;
  operation.w.ours = b;
  operation.y.ours = y;
  operation.scratchpad = desc.scratchpad_desc();
  return operation;
}

}  // namespace

void Products::matmul(ConstView a, ConstView b, const MatmulSpec& spec, View y) {
  if (y.numel() == 0) return;
  const int64_t m = y.shape[0], n = y.shape[1], k = a.shape[spec.transpose_a ? 0 : 1];
  if (k == 0) {  // no terms in the sum
    std::memset(y.address, 0, static_cast<size_t>(m * n) * sizeof(float));
    return;
  }
  state_->run("matmul", [&](State& s, int threads) {
    Key key;
    key.kind = Kind::matmul;
    key.x = {m, n, k, 0};
    key.w = {spec.transpose_a ? 1 : 0, spec.transpose_b ? 1 : 0, 0, 0};
    key.threads = threads;
    const Operation& op = s.operation(key, [&] { return make_matmul(s.engine, m, n, k, spec); });
    s.execute(op, {{DNNL_ARG_SRC, s.view(op.x.ours, a.address)},
                   {DNNL_ARG_WEIGHTS, s.view(op.w.ours, b.address)},
                   {DNNL_ARG_DST, s.view(op.y.ours, y.address)}});
  });
}

}  // namespace mirilla::cpu
