// Cases of constants, random bits, quantized data, control flow, custom operations and, on a mesh
// of one rank, collectives.
#include <algorithm>
#include <cmath>

#include "cairn/base/philox.h"
#include "cairn/core/float_types.h"
#include "cairn/ops/collective.h"
#include "cairn/ops/control.h"
#include "cairn/ops/custom.h"
#include "cairn/ops/elementwise.h"
#include "tests/ops/op_cases.h"

namespace cairn::test {
namespace {

// A case without operands runs once.
Case& constant(std::vector<Case>& cases, Op op, const std::string& label, Attrs attrs,
               Array expected) {
  Case& c = add_case(cases, op, label, {}, std::move(attrs),
                     [expected](const Arrays&) { return Arrays{expected}; });
  c.dtypes = {DType::f64};
  c.orders = 0;
  c.maps = false;
  return c;
}

void add_constants(std::vector<Case>& cases) {
  for (const DType dtype : joined({kFloats, kFloats8, kIntegers, {DType::b8}})) {
    const std::string label(name(dtype));
    Array three({2, 3}, std::vector<double>(6, dtype == DType::b8 ? 1 : 3));
    constant(cases, Op::full, label,
             {{Attr::value, Number(3)}, {Attr::dtype, dtype}, {Attr::shape, Ints{2, 3}}}, three);
    constant(cases, Op::full, label + " empty",
             {{Attr::value, Number(3)}, {Attr::dtype, dtype}, {Attr::shape, Ints{0}}}, Array({0}));
    constant(cases, Op::dense, label, {{Attr::literal, typed(three, dtype)}}, three);
    if (dtype == DType::b8) continue;
    for (const int64_t axis : {0, 1, 2}) {
      Array index({2, 3, 4});
      for_each_index(index.shape, [&](const Ints& i) {
        index[index.at(i)] = static_cast<double>(i[static_cast<int>(axis)]);
      });
      constant(cases, Op::iota, label + std::to_string(axis),
               {{Attr::dtype, dtype}, {Attr::shape, Ints{2, 3, 4}}, {Attr::axis, axis}}, index);
    }
  }
}

void add_random(std::vector<Case>& cases) {
  for (const int64_t stream : {0, 1, 2}) {
    Attrs attrs{{Attr::shape, Ints{3, 5}}};
    if (stream) attrs.set(Attr::stream, stream);
    Case& c =
        add_case(cases, Op::random_bits, "stream " + std::to_string(stream),
                 {{Array({2, 2}, {7, 8, 4294967295.0, 1}), DType::u32},
                  {Array({2}, {0, 4294967299.0}), DType::i64}},
                 attrs, [stream](const Arrays& in) {
                   Array out({2, 3, 5});
                   for (int64_t key = 0; key < 2; ++key)
                     for (int64_t i = 0; i < 15; ++i) {
                       const auto at = static_cast<uint64_t>(in[1][key]) + static_cast<uint64_t>(i);
                       const PhiloxBlock counter = {static_cast<uint32_t>(at / 4),
                                                    static_cast<uint32_t>(at / 4 >> 32),
                                                    static_cast<uint32_t>(stream), 0};
                       out[key * 15 + i] =
                           philox4x32(counter, {static_cast<uint32_t>(in[0][2 * key]),
                                                static_cast<uint32_t>(in[0][2 * key + 1])})[at % 4];
                     }
                   return Arrays{out};
                 });
    c.dtypes = {DType::f64};
    c.orders = 0;
  }
}

// ggml's q8_0: a block of 32 is an f16 scale, the largest magnitude over 127, and 32 signed bytes.
Arrays q8_0_bytes(const Arrays& in) {
  Array out({in[0].shape[0], in[0].shape[1] / 32 * 34});
  for (int64_t block = 0; block < in[0].size() / 32; ++block) {
    float top = 0;
    for (int64_t i = 0; i < 32; ++i)
      top = std::max(top, std::fabs(static_cast<float>(in[0][block * 32 + i])));
    const Float16 scale(top / 127.0f);
    const uint16_t bits = std::bit_cast<uint16_t>(scale);
    out[block * 34] = bits & 255;
    out[block * 34 + 1] = bits >> 8;
    const float inverse = top > 0 ? 1.0f / static_cast<float>(scale) : 0;
    for (int64_t i = 0; i < 32; ++i) {
      const float code = std::clamp(
          std::nearbyint(static_cast<float>(in[0][block * 32 + i]) * inverse), -127.0f, 127.0f);
      out[block * 34 + 2 + i] = static_cast<uint8_t>(static_cast<int8_t>(code));
    }
  }
  return {out};
}

void add_quantized(std::vector<Case>& cases) {
  Array x = reals({3, 64}, -5, 5);
  std::fill(x.v.begin(), x.v.begin() + 32, 0.0);  // a block of zeros
  Case& encode = add_case(cases, Op::quantize, "q8_0", {{x}}, {{Attr::format, std::string("q8_0")}},
                          q8_0_bytes);
  encode.orders = 0;
  encode.dtypes = {DType::f32, DType::f16, DType::bf16};
  Case& decode = add_case(
      cases, Op::dequantize, "q8_0", {{q8_0_bytes({x})[0], DType::u8}},
      {{Attr::format, std::string("q8_0")}, {Attr::dtype, DType::f32}}, [](const Arrays& in) {
        Array out({3, 64});
        for (int64_t i = 0; i < out.size(); ++i) {
          const int64_t block = i / 32 * 34;
          const auto bits = static_cast<uint16_t>(in[0][block] + 256 * in[0][block + 1]);
          const double scale = static_cast<float>(std::bit_cast<Float16>(bits));
          out[i] = scale * static_cast<int8_t>(static_cast<uint8_t>(in[0][block + 2 + i % 32]));
        }
        return Arrays{out};
      });
  decode.dtypes = {DType::f64};
  decode.orders = 0;
}

void add_control(std::vector<Case>& cases) {
  for (const bool chosen : {true, false}) {
    Case c;
    c.function = "cond";
    c.name = chosen ? "cond then" : "cond otherwise";
    c.primitive = Op::cond;
    c.inputs = {
        {Array({}, {chosen ? 1.0 : 0.0}), DType::b8}, {reals({3, 2})}, {reals({3, 2}, -2, 2, 2)}};
    c.call = [](Tensors in) {
      const Tensor shared = in[1] * in[2];  // outside: both branches capture it
      return std::vector<Tensor>{
          cond(in[0], [&] { return shared + in[1] * 2.0; }, [&] { return shared * in[2]; })};
    };
    c.reference = [](const Arrays& in) {
      Array out(in[1].shape);
      for (int64_t i = 0; i < out.size(); ++i)
        out[i] =
            in[0][0] != 0 ? in[1][i] * in[2][i] + 2 * in[1][i] : in[1][i] * in[2][i] * in[2][i];
      return Arrays{out};
    };
    c.bound = {Bound::terms, 1, 3};
    c.roundings = 3;
    cases.push_back(std::move(c));
  }
  for (const bool reverse : {false, true}) {
    for (const double count : {0, 3, 5, 9}) {  // 9 counts as the largest, 5
      Case c;
      c.function = "loop";
      c.name = std::string("loop of ") + std::to_string(static_cast<int>(count)) +
               (reverse ? " reverse" : "");
      c.primitive = Op::loop;
      c.inputs = {{Array({}, {count}), DType::i32},
                  {reals({2}, -1, 1)},
                  {reals({5, 2}, -1, 1, 2)},
                  {reals({2}, -1, 1, 3)}};
      c.call = [reverse](Tensors in) {
        LoopOptions options;
        options.reverse = reverse;
        const Step end = loop(
            in[0], {in[1]}, {in[2]},
            [&](const Tensor& k, Tensors carried, Tensors rows) {
              const Tensor next = carried[0] * rows[0] + in[3] + cast(k, in[3].dtype());
              return Step{{next}, {next * rows[0]}};
            },
            options);
        return std::vector<Tensor>{end.carried[0], end.stacked[0]};
      };
      c.reference = [reverse](const Arrays& in) {
        Array x = in[1], stacked(in[2].shape);
        const int64_t rows = in[2].shape[0], columns = in[2].shape[1];
        const int64_t n = std::min(rows, static_cast<int64_t>(in[0][0]));
        for (int64_t step = 0; step < n; ++step) {
          const int64_t k = reverse ? n - 1 - step : step;
          for (int64_t i = 0; i < columns; ++i) {
            const double row = in[2][columns * k + i];
            x[i] = x[i] * row + in[3][i] + static_cast<double>(k);
            stacked[columns * k + i] = x[i] * row;
          }
        }
        return Arrays{x, stacked};
      };
      c.bound = {Bound::terms, 5, 1};
      c.roundings = 16;
      cases.push_back(std::move(c));
    }
  }
  Case c;
  c.function = c.name = "custom";
  c.primitive = Op::custom;
  c.inputs = {{reals({4})}, {reals({4}, -2, 2, 2)}};
  c.call = [](Tensors in) {
    CustomDefinition definition;
    definition.name = "product_and_sum";
    definition.fallback = [](Tensors x) { return std::vector<Tensor>{x[0] * x[1], x[0] + x[1]}; };
    return custom(definition)(in);
  };
  c.reference = [](const Arrays& in) {
    Array product(in[0].shape), sum(in[0].shape);
    for (int64_t i = 0; i < product.size(); ++i) {
      product[i] = in[0][i] * in[1][i];
      sum[i] = in[0][i] + in[1][i];
    }
    return Arrays{product, sum};
  };
  cases.push_back(std::move(c));
}

// On one rank every collective gives its operand. Several ranks are tested with the communicators.
void add_collectives(std::vector<Case>& cases) {
  const MeshAxis mesh{"x", 1};
  const auto add = [&](Op op, std::function<Tensor(const Tensor&)> call,
                       std::function<Array(const Array&)> f = nullptr) {
    Case c;
    c.function = c.name = name(op);
    c.primitive = op;
    c.inputs = {{reals({4, 3})}};
    c.call = [call](Tensors in) { return std::vector<Tensor>{call(in[0])}; };
    c.reference = [f](const Arrays& in) { return Arrays{f ? f(in[0]) : in[0]}; };
    c.dtypes = joined({kFloats, kIntegers});
    c.orders = 0;
    c.maps = op != Op::axis_index;
    cases.push_back(std::move(c));
  };
  add(Op::vary, [=](const Tensor& x) { return vary(x, mesh); });
  add(Op::all_reduce, [=](const Tensor& x) { return all_reduce(x, mesh); });
  add(Op::all_reduce, [=](const Tensor& x) { return all_reduce(x, mesh, "max"); });
  add(Op::all_gather, [=](const Tensor& x) { return all_gather(x, mesh, 1); });
  add(Op::all_gather_invariant, [=](const Tensor& x) { return all_gather(x, mesh, 1, true); });
  add(Op::reduce_scatter, [=](const Tensor& x) { return reduce_scatter(x, mesh, 1); });
  add(Op::all_to_all, [=](const Tensor& x) { return all_to_all(x, mesh, 0, 1); });
  add(Op::permute, [=](const Tensor& x) { return shift(x, mesh); });
  add(
      Op::permute, [=](const Tensor& x) { return permute(x, mesh, std::vector<int32_t>{-1}); },
      [](const Array& x) { return Array(x.shape); });
  add(
      Op::axis_index, [=](const Tensor&) { return axis_index(mesh); },
      [](const Array&) { return Array(Shape{}); });
}

}  // namespace

std::vector<Case> control_cases() {
  std::vector<Case> cases;
  add_constants(cases);
  add_random(cases);
  add_quantized(cases);
  add_control(cases);
  add_collectives(cases);
  return cases;
}

}  // namespace cairn::test
