// A step of a whole layer as one operator: the product of its input, the scan of one step, and the
// states as their users hold them. Called one by one, these would take several times as long as
// what they compute. The values are theirs, bit for bit: the same products, the same kernels.
//
// What does not fit (a shape, a dtype) is no error here: nothing is returned, and the layer takes
// the way of a sequence, which converts it, or says what is wrong with it.
#include <cmath>
#include <string>

#include "cpu.h"
#include "operator.h"
#include "step.h"

namespace lrnn {
namespace {

using Forward = std::tuple<Tensor, Tensor, Tensor>(Watch&, const CellInfo&, const Tensors&,
                                                   const Tensors&, const Options&, const Optional&,
                                                   const Optional&, const Optional&, bool, bool);

// An error of an operator within this one, whose words the stable ABI does not hand on.
struct Unreadable {};

// An operator of the matrix engine, which has a binding of its own.
std::tuple<Tensor, Tensor, Tensor> call_operator(const std::string& name, const Tensors& inputs,
                                                 const Tensors& params, const Options& options,
                                                 const Optional& h0, const Optional& reset,
                                                 const Optional& h_reset, bool reverse, bool save) {
  using torch::stable::detail::from;
  using torch::stable::detail::to;
  StableIValue stack[] = {from(inputs), from(params),  from(options), from(h0),
                          from(reset),  from(h_reset), from(reverse), from(save)};
  const std::string full_name = "lrnn_kernels::" + name;
  if (torch_call_dispatcher(full_name.c_str(), "", stack, TORCH_ABI_VERSION) != AOTI_TORCH_SUCCESS)
    throw Unreadable();
  return {to<Tensor>(stack[0]), to<Tensor>(stack[1]), to<Tensor>(stack[2])};
}

std::tuple<Tensor, Tensor, Tensor> call_forward(Watch&, const CellInfo& cell, const Tensors& inputs,
                                                const Tensors& params, const Options& options,
                                                const Optional& h0, const Optional& reset,
                                                const Optional& h_reset, bool reverse, bool save) {
  return call_operator(cell.name, inputs, params, options, h0, reset, h_reset, reverse, save);
}

// The one that takes the product of its inputs, too: as the layer's scan of a sequence does.
std::tuple<Tensor, Tensor, Tensor> call_driven(Watch&, const CellInfo& cell, const Tensors& inputs,
                                               const Tensors& params, const Options& options,
                                               const Optional& h0, const Optional& reset,
                                               const Optional& h_reset, bool reverse, bool save) {
  return call_operator(std::string(cell.name) + "_driven", inputs, params, options, h0, reset,
                       h_reset, reverse, save);
}

// y, (B,1,C), and the last states as the kernels have them.
template <Forward kForward>
std::tuple<Tensor, Tensor> scan(Watch& watch, const CellInfo& cell, const Given& given,
                                const Form& f, const Tensor& drive, const Tensors& params,
                                const Options& options) {
  Optional initial, mask;
  if (given.initial) initial = widened(*given.initial, f.carry);
  if (given.reset)
    mask = seen_as(*given.reset, {f.B, 1}, {f.batched ? given.reset->stride(0) : 1, 1});
  const int64_t N = drive.size(1);
  const auto [y, h_last, saved] =
      kForward(watch, cell, {seen_as(drive, {f.B, 1, N}, {N, N, 1})}, params, options,
               stored(given, f, initial), mask, mask ? initial : Optional(), false, false);
  return {y, h_last};
}

// What a layer makes of its parameters before the scan, in the carry type; where that is nothing,
// the scan's are the layer's.
using Prepare = Tensors(const Tensors& params, const Form& form);

// The parameters of the operator of a matrix cell that takes the product of its inputs, too; none
// where there is no such operator. A second bias, torch's bias_hh, is added to the first, but for
// its last vectors, which are the cell's own.
std::optional<Tensors> driven_params(size_t cell, const Tensors& weights, const Tensors& params,
                                     const Form& form) {
  const std::optional<MatrixInfo> info = drivable(cell);
  if (!info || form.type != form.carry) return {};
  const int64_t width = weights[0].size(0), own = info->params * form.C;
  Tensors all{weights[0]};
  if (weights.size() == 2) all.push_back(weights[1]);
  if (weights.size() != 2) all.push_back(new_zeros({width}, form.type));
  all.insert(all.end(), params.begin(), params.end());
  if (weights.size() < 3) return all;
  const Tensor &b_ih = weights[1], &b_hh = weights[2];
  if (!is_vector(b_ih, width) || !is_vector(b_hh, width) || b_hh.scalar_type() != form.type)
    throw Unreadable();
  as_real(form.type, [&](auto zero) {
    using R = decltype(zero);
    R* const sum = mutable_data<R>(all[1]);
    for (int64_t i = 0; i < width; ++i)
      sum[i] = data<R>(b_ih)[i] + (i < width - own ? data<R>(b_hh)[i] : zero);
  });
  for (int64_t at = width - own; at < width; at += form.C)
    all.push_back(seen_as(b_hh, {form.C}, {1}, at));
  return all;
}

// weights: of the input's product, and its bias where it has one, or two; params: the scan's, or
// what a layer makes them of.
template <size_t kCell, Forward kForward, Prepare* kPrepare = nullptr>
Tensors step(Tensor x, Tensors weights, Tensors params, Options options, Tensors states,
             int64_t layer, int64_t layers, Optional reset, Optional initial) {
  const CellInfo& cell = cell_info(kCell);
  return run_operator(cell.name, "_layer_step", [&](Watch& watch) -> Tensors {
    const Given given{x, weights, params, states, reset, initial, {layer, layers}};
    constexpr bool kMatrices = kForward == call_forward;  // their shapes are checked there
    if (weights.empty() || weights.size() > (kMatrices ? 3 : 2)) return {};
    const Optional bias = weights.size() > 1 ? Optional(weights[1]) : Optional();
    const bool complex = cell.complex && !params.empty() && is_complex(params[0].scalar_type());
    const std::optional<Form> form = given.form(cell, weights[0], bias, complex);
    if (!form) return {};
    if (kPrepare != nullptr && static_cast<int>(params.size()) != cell.params) return {};
    Tensors ready;
    for (const Tensor& p : params) {
      if ((!kMatrices && !is_vector(p, form->C)) || is_complex(p.scalar_type()) != complex ||
          (p.scalar_type() != form->state && p.scalar_type() != form->type))
        return {};
      ready.push_back(widened(p, form->carry));
    }
    if constexpr (kPrepare != nullptr) {
      if (form->type != form->carry) return {};  // what is made of 16-bit numbers is rounded
      ready = kPrepare(ready, *form);
    }
    const Tensor rows = rows_of(given, *form);
    const auto run = [&] {
      if constexpr (kMatrices) {
        if (const auto all = driven_params(kCell, weights, ready, *form))
          return scan<call_driven>(watch, cell, given, *form, rows, *all, options);
        if (weights.size() > 2) throw Unreadable();
      }
      const Tensor drive = product(rows, weights[0], bias);
      return scan<kForward>(watch, cell, given, *form, drive, ready, options);
    };
    try {
      const auto [y, h_last] = run();
      Tensors result{in_form_of_x(y, y.size(2), *form)};
      load_states(result, h_last, cell, *form);
      return result;
    } catch (const Unreadable&) {  // the layer's other way meets it again, and says it
      return {};
    }
  });
}

// |p1| and |p1| + |p2|, of lrnn_kernels/nn/fq_bmru.py.
Tensors thresholds(const Tensors& params, const Form& form) {
  const Tensor low = new_contiguous({form.C}, form.carry),
               high = new_contiguous({form.C}, form.carry);
  as_real(form.carry, [&](auto zero) {
    using R = decltype(zero);
    const R *const p1 = data<R>(params[0]), *const p2 = data<R>(params[1]);
    R *const lo = mutable_data<R>(low), *const hi = mutable_data<R>(high);
    for (int64_t c = 0; c < form.C; ++c) {
      lo[c] = std::abs(p1[c]);
      hi[c] = lo[c] + std::abs(p2[c]);
    }
  });
  return {low, high, params[2]};
}

// What the LRU's layer makes of nu, theta, gamma and its weight, as lrnn_kernels/nn/lru.py has it.
struct LruParameters {
  Tensor lambda, weight;  // (C,) complex; (2C,in), both halves' rows times exp(gamma)

  LruParameters(const Tensors& params, const Tensor& given, const Form& form)
      : lambda(), weight(new_contiguous({2 * form.C, given.size(1)}, form.type)) {
    const Tensor rows = new_contiguous({3, form.C}, form.type);
    as_real(form.type, [&](auto zero) { fill<decltype(zero)>(params, given, rows, form.C); });
  }

 private:
  template <class R>
  void fill(const Tensors& params, const Tensor& given, const Tensor& rows, int64_t C) {
    R* const row = mutable_data<R>(rows);
    for (int64_t i = 0; i < 3; ++i) memcpy(row + i * C, data<R>(params[i]), C * sizeof(R));
    // torch's exp, whose rounding is no other's.
    call_torch("aten::exp_", rows);
    const Tensor decay = seen_as(rows, {C}, {1}), angle = seen_as(rows, {C}, {1}, C);
    for (int64_t c = 0; c < C; ++c) row[c] = -row[c];
    call_torch("aten::exp_", decay);
    lambda = call_torch("aten::polar", decay, angle);
    const R* const scale = row + 2 * C;
    const R* from = data<R>(given);
    R* to = mutable_data<R>(weight);
    const int64_t in = given.size(1);
    for (int64_t half = 0; half < 2; ++half)
      for (int64_t c = 0; c < C; ++c, from += in, to += in)
        for (int64_t j = 0; j < in; ++j) to[j] = from[j] * scale[c];
  }
};

// The LRU's layer, whose weights are functions of its parameters, and whose output is another
// product, but for an elementwise skip: its rounding is that of torch's addcmul_, which the stable
// ABI does not call. weights: weight_ih, weight_ho, skip, and bias_ho where there is one; params:
// nu, theta, gamma. See lrnn_kernels/nn/lru.py.
Tensors lru_step(Tensor x, Tensors weights, Tensors params, Options options, Tensors states,
                 int64_t layer, int64_t layers, Optional reset, Optional initial) {
  const CellInfo& cell = cell_info(kCell_linear_per_channel);
  return run_operator("lru", "_layer_step", [&](Watch& watch) -> Tensors {
    const Given given{x, weights, params, states, reset, initial, {layer, layers}};
    if (weights.size() < 3 || weights.size() > 4 || params.size() != 3) return {};
    const std::optional<Form> form = given.form(cell, weights[0], {}, true);
    if (!form || form->type != form->carry || !weights[0].is_contiguous()) return {};
    const int64_t C = form->C, in = weights[0].size(1);
    const Tensor &out = weights[1], &skip = weights[2];
    for (const Tensor& w : weights)
      if (w.scalar_type() != form->type) return {};
    for (const Tensor& p : params)
      if (!is_vector(p, C) || p.scalar_type() != form->type) return {};
    const bool elementwise = is_vector(skip, in) && in == C;
    const Optional bias = weights.size() == 4 ? Optional(weights[3]) : Optional();
    if (!is_matrix(out, C, 2 * C) || (!elementwise && !is_matrix(skip, C, in)) ||
        (bias && !is_vector(*bias, C)))
      return {};

    const LruParameters made(params, weights[0], *form);
    const Tensor rows = rows_of(given, *form);
    const auto [h, h_last] = scan<run_forward_of>(
        watch, cell, given, *form, product(rows, made.weight, {}), {made.lambda}, options);
    const Tensor y = product(seen_as(h, {form->B, 2 * C}, {2 * C, 1}), out, bias);
    if (!elementwise) {
      const Tensor columns = seen_as(skip, {in, C}, {skip.stride(1), skip.stride(0)});
      STABLE_TORCH_ERROR_CODE_CHECK(
          aoti_torch_cpu_addmm_out(y.get(), y.get(), rows.get(), columns.get(), 1.0, 1.0));
    }
    Tensors result{in_form_of_x(y, C, *form)};
    load_states(result, h_last, cell, *form);
    return result;
  });
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(lrnn_kernels, CPU, m) {
#define LRNN_FORWARD_affine run_forward_of
#define LRNN_FORWARD_latch run_forward_of
#define LRNN_FORWARD_step run_forward_of
#define LRNN_FORWARD_matrix call_forward
#define LRNN_STEP(name, header, engine, Cell) \
  m.impl(#name "_layer_step", TORCH_BOX((&step<kCell_##name, LRNN_FORWARD_##engine>)));
  LRNN_CELLS(LRNN_STEP)
#undef LRNN_STEP
#undef LRNN_FORWARD_matrix
#undef LRNN_FORWARD_step
#undef LRNN_FORWARD_latch
#undef LRNN_FORWARD_affine
  m.impl("fq_bmru_thresholds_layer_step",
         TORCH_BOX((&step<kCell_fq_bmru, run_forward_of, thresholds>)));
  m.impl("lru_layer_step", TORCH_BOX(&lru_step));
}

}  // namespace lrnn
