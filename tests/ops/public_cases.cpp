// Cases of public functions that the golden files do not have.
#include <algorithm>
#include <cmath>
#include <map>

#include "cairn/ops/control.h"
#include "cairn/ops/elementwise.h"
#include "cairn/ops/index.h"
#include "cairn/ops/linear.h"
#include "cairn/ops/movement.h"
#include "cairn/ops/nn.h"
#include "cairn/ops/quantize.h"
#include "cairn/ops/reduce.h"
#include "tests/ops/op_cases.h"

namespace cairn::test {
namespace {

struct Builder {
  std::vector<Case> cases;

  Case& add(const std::string& function, const std::string& label, std::vector<CaseInput> inputs,
            std::function<Tensor(Tensors)> call, Reference reference) {
    Case& c = cases.emplace_back();
    c.function = function;
    c.name = function + " " + label;
    c.inputs = std::move(inputs);
    c.call = [call](Tensors in) { return std::vector<Tensor>{call(in)}; };
    c.reference = std::move(reference);
    return c;
  }
  // One number to one number, or two.
  Case& map(const std::string& function, std::vector<CaseInput> inputs,
            std::function<Tensor(Tensors)> call,
            std::function<double(const std::vector<double>&)> f) {
    return add(function, "", std::move(inputs), std::move(call), [f](const Arrays& in) {
      Array out(in[0].shape);
      for (int64_t i = 0; i < out.size(); ++i) {
        std::vector<double> x;
        for (const Array& a : in) x.push_back(a[i]);
        out[i] = f(x);
      }
      return Arrays{out};
    });
  }
  // Every element of the result is one of the operand's.
  Case& move(const std::string& function, const std::string& label, Shape from, Shape to,
             std::function<Tensor(Tensors)> call, std::function<Ints(const Ints&)> source) {
    return add(function, label, {{reals(from)}}, std::move(call), [to, source](const Arrays& in) {
      Array out(to);
      for_each_index(to, [&](const Ints& i) { out[out.at(i)] = in[0][in[0].at(source(i))]; });
      return Arrays{out};
    });
  }
  void add_elementwise();
  void add_movement();
  void add_einsum();
  void add_loops();
};

void Builder::add_elementwise() {
  const Shape s{3, 5};
  map(
      "trunc", {{reals(s, -4, 4)}}, [](Tensors x) { return trunc(x[0]); },
      [](const auto& x) { return std::trunc(x[0]); });
  map(
      "exp2", {{reals(s, -4, 4)}}, [](Tensors x) { return exp2(x[0]); },
      [](const auto& x) { return std::exp2(x[0]); })
      .bound = {Bound::terms, 1, 1};
  map(
      "log2", {{reals(s, 0.1, 9)}}, [](Tensors x) { return log2(x[0]); },
      [](const auto& x) { return std::log2(x[0]); })
      .bound = {Bound::terms, 2, 1};
  map(
      "log10", {{reals(s, 0.1, 9)}}, [](Tensors x) { return log10(x[0]); },
      [](const auto& x) { return std::log10(x[0]); })
      .bound = {Bound::terms, 2, 1};
  map(
      "truncate_divide", {{reals(s, -9, 9)}, {reals(s, 1.1, 3, 2)}},
      [](Tensors x) { return truncate_divide(x[0], x[1]); },
      [](const auto& x) { return std::trunc(x[0] / x[1]); })
      .dtypes = {DType::f64};  // in narrower types a quotient may round up to a whole number
  map(
      "logaddexp", {{reals(s, -9, 9)}, {reals(s, -9, 9, 2)}},
      [](Tensors x) { return logaddexp(x[0], x[1]); },
      [](const auto& x) {
        return std::max(x[0], x[1]) + std::log1p(std::exp(-std::fabs(x[0] - x[1])));
      })
      .bound = {Bound::terms, 1, 1};
  Case& close = map(
      "isclose", {{wholes(s, 0, 4)}, {wholes(s, 0, 4, 2)}},
      [](Tensors x) { return isclose(x[0], x[1], 0.25, 0.5); },
      [](const auto& x) { return std::fabs(x[0] - x[1]) <= 0.5 + 0.25 * std::fabs(x[1]); });
  close.dtypes = joined({kFloats, kIntegers});
  close.orders = 0;
  // Normalised by its own mean and variance, which are differentiated.
  Case& norm = add(
      "batch_norm", "", {{reals({4, 2, 3})}, {reals({2}, 0.5, 2, 2)}, {reals({2}, -1, 1, 3)}},
      [](Tensors x) {
        return batch_norm(x[0], mean(x[0], {0, 2}), variance(x[0], {0, 2}), x[1], x[2]);
      },
      [](const Arrays& in) {
        Array out = in[0];
        for (int64_t c = 0; c < 2; ++c) {
          double sum = 0, squares = 0;
          const auto each = [&](auto f) {
            for (int64_t n = 0; n < 4; ++n)
              for (int64_t i = 0; i < 3; ++i) f(out[out.at({n, c, i})]);
          };
          each([&](double x) { sum += x / 12; });
          each([&](double x) { squares += (x - sum) * (x - sum) / 12; });
          each([&](double& x) { x = (x - sum) / std::sqrt(squares + 1e-5) * in[1][c] + in[2][c]; });
        }
        return Arrays{out};
      });
  norm.bound = {Bound::terms, 4, 2};
  norm.roundings = 4;  // the mean and variance that are given
  Case& all_close = add(
      "allclose", "", {{wholes(s, 1, 4)}},
      [](Tensors x) { return allclose(x[0], x[0] + 1, 0.5, 0.5); },
      [](const Arrays&) { return Arrays{Array(Shape{}, {1})}; });
  all_close.orders = 0;
  map(
      "zeros_like", {{reals(s)}}, [](Tensors x) { return zeros_like(x[0]); },
      [](const auto&) { return 0.0; })
      .orders = 0;
  map(
      "full_like", {{reals(s)}}, [](Tensors x) { return full_like(x[0], 2); },
      [](const auto&) { return 2.0; })
      .orders = 0;
  map(
      "zeros", {{reals(s)}}, [](Tensors x) { return x[0] + zeros({3, 5}, x[0].dtype()); },
      [](const auto& x) { return x[0]; });
  map(
      "ones", {{reals(s)}}, [](Tensors x) { return x[0] * ones({3, 5}, x[0].dtype()); },
      [](const auto& x) { return x[0]; });
  // Broadcasting: a row, a column and a number.
  add(
      "broadcast", "by arithmetic", {{reals({4, 1})}, {reals({3}, -2, 2, 2)}},
      [](Tensors x) { return (x[0] - x[1]) * 2; },
      [](const Arrays& in) {
        Array out({4, 3});
        for_each_index(out.shape,
                       [&](const Ints& i) { out[out.at(i)] = (in[0][i[0]] - in[1][i[1]]) * 2; });
        return Arrays{out};
      })
      .dtypes = {DType::f64, DType::f32};
  Case& bytes = add(
      "matmul", "of signed and unsigned bytes",
      {{wholes({3, 4}, -9, 9), DType::i8}, {wholes({4, 2}, 0, 200, 2), DType::u8}},
      [](Tensors x) { return matmul(x[0], x[1]); },
      [](const Arrays& in) {
        Array out({3, 2});
        for_each_index(out.shape, [&](const Ints& i) {
          for (int64_t k = 0; k < 4; ++k)
            out[out.at(i)] += in[0][in[0].at({i[0], k})] * in[1][in[1].at({k, i[1]})];
        });
        return Arrays{out};
      });
  bytes.orders = 0;
  bytes.dtypes = {DType::f64};
  // Every format gives a number back to within half a step of its block: the range over the levels,
  // the f16 scale's rounding (2^-11) on up to 16 steps included; q4_0 and q5_0 may clip one end by
  // a step.
  for (const char* format : {"q8_0", "q4_0", "q4_1", "q5_0", "q5_1"}) {
    const int levels = format[1] == '8' ? 255 : format[1] == '5' ? 32 : 16;
    Case& c = add(
        "quantize", format, {{reals({2, 96}, -1, 1)}},
        [format](Tensors x) { return dequantize(quantize(x[0], format), format); },
        [](const Arrays& in) { return in; });
    c.bound = {Bound::terms,
               (format[3] == '0' && levels < 255 ? 2.2 : 1.2) / levels / epsilon(DType::f32) / 196,
               1};
    c.dtypes = {DType::f32};
    c.orders = 0;
  }
  Case& rows = add(
      "dequantize_rows", "codes count from -128",
      {{wholes({3, 64}, 0, 255), DType::u8}, {reals({3}, 0.1, 1), DType::f32}},
      [](Tensors x) { return dequantize_rows(x[0], x[1]); },
      [](const Arrays& in) {
        Array out({3, 64});
        for_each_index(out.shape, [&](const Ints& i) {
          out[out.at(i)] = (in[0][in[0].at(i)] - 128) * in[1][i[0]];
        });
        return Arrays{out};
      });
  rows.dtypes = {DType::f32};
  rows.orders = 0;
}

void Builder::add_movement() {
  move(
      "reshape", "with a free size", {2, 3, 4}, {3, 8},
      [](Tensors x) { return reshape(x[0], {3, -1}); },
      [](const Ints& i) {
        const int64_t at = i[0] * 8 + i[1];
        return Ints{at / 12, at / 4 % 3, at % 4};
      });
  move(
      "flatten", "the last axes", {2, 3, 4}, {2, 12}, [](Tensors x) { return flatten(x[0], 1); },
      [](const Ints& i) { return Ints{i[0], i[1] / 4, i[1] % 4}; });
  move(
      "squeeze", "one", {2, 1, 3, 1}, {2, 1, 3}, [](Tensors x) { return squeeze(x[0], {-1}); },
      [](const Ints& i) { return Ints{i[0], 0, i[2], 0}; });
  move(
      "squeeze", "all", {2, 1, 3, 1}, {2, 3}, [](Tensors x) { return squeeze(x[0]); },
      [](const Ints& i) { return Ints{i[0], 0, i[1], 0}; });
  move(
      "expand_dims", "last", {2, 3}, {2, 3, 1}, [](Tensors x) { return expand_dims(x[0], -1); },
      [](const Ints& i) { return Ints{i[0], i[1]}; });
  move(
      "transpose", "all axes", {2, 3, 4}, {4, 3, 2}, [](Tensors x) { return transpose(x[0]); },
      [](const Ints& i) { return Ints{i[2], i[1], i[0]}; });
  move(
      "swapaxes", "", {2, 3, 4}, {4, 3, 2}, [](Tensors x) { return swapaxes(x[0], 0, -1); },
      [](const Ints& i) { return Ints{i[2], i[1], i[0]}; });
  move(
      "moveaxis", "", {2, 3, 4}, {4, 2, 3}, [](Tensors x) { return moveaxis(x[0], -1, 0); },
      [](const Ints& i) { return Ints{i[1], i[2], i[0]}; });
  move(
      "slice", "an element, a step back, the rest", {3, 7, 4}, {3, 4},
      [](Tensors x) { return slice(x[0], {-1, Slice{5, 0, -2}}); },
      [](const Ints& i) { return Ints{2, 5 - 2 * i[0], i[1]}; });
  move(
      "slice", "reversed", {5}, {5}, [](Tensors x) { return slice(x[0], {Slice{{}, {}, -1}}); },
      [](const Ints& i) { return Ints{4 - i[0]}; });
  move(
      "slice", "beyond the ends", {5}, {3}, [](Tensors x) { return slice(x[0], {Slice{-3, 99}}); },
      [](const Ints& i) { return Ints{2 + i[0]}; });
  move(
      "slice", "of nothing", {5}, {0}, [](Tensors x) { return slice(x[0], {Slice{4, 2}}); },
      [](const Ints& i) { return i; });
  move(
      "slice_axis", "", {3, 7}, {3, 3}, [](Tensors x) { return slice_axis(x[0], -1, 1, 6, 2); },
      [](const Ints& i) { return Ints{i[0], 1 + 2 * i[1]}; });
  move(
      "split", "the middle part", {2, 6}, {2, 2}, [](Tensors x) { return split(x[0], 3, 1)[1]; },
      [](const Ints& i) { return Ints{i[0], 2 + i[1]}; });
  move(
      "broadcast_to", "", {3, 1}, {2, 3, 4},
      [](Tensors x) { return broadcast_to(x[0], {2, 3, 4}); },
      [](const Ints& i) { return Ints{i[1], 0}; });
  move(
      "transfer", "to the host", {2, 3}, {2, 3},
      [](Tensors x) { return transfer(x[0], Placement{}); }, [](const Ints& i) { return i; });
  move(
      "take", "from the end", {4, 3}, {4, 2},
      [](Tensors x) { return take(x[0], Tensor::from<int32_t>({-1, -3}, {2}), 1); },
      [](const Ints& i) { return Ints{i[0], i[1] ? 0 : 2}; });
  const CaseInput rows{wholes({2, 3}, 0, 4), DType::i32};
  Case& embed = add(
      "embedding", "", {{reals({4, 5})}, rows}, [](Tensors x) { return embedding(x[0], x[1]); },
      [](const Arrays& in) {
        Array out({2, 3, 5});
        for_each_index(out.shape, [&](const Ints& i) {
          out[out.at(i)] =
              in[0][in[0].at({static_cast<int64_t>(in[1][in[1].at({i[0], i[1]})]), i[2]})];
        });
        return Arrays{out};
      });
  embed.dtypes = joined({kFloats, kFloats8, kIntegers});
}

// An einsum without ellipses by its definition: a sum over all labels.
Reference naive_einsum(const std::string& equation) {
  return [equation](const Arrays& in) {
    const size_t arrow = equation.find("->");
    std::vector<std::string> terms{""};
    for (char c : equation.substr(0, arrow)) {
      if (c == ',')
        terms.emplace_back();
      else
        terms.back() += c;
    }
    const std::string output = equation.substr(arrow + 2);
    std::map<char, int64_t> size, at;
    for (size_t t = 0; t < terms.size(); ++t)
      for (size_t i = 0; i < terms[t].size(); ++i) {
        int64_t& known = size.emplace(terms[t][i], 1).first->second;
        if (known == 1) known = in[t].shape[static_cast<int>(i)];
      }
    Shape all, shape;
    for (const auto& [label, n] : size) all.push_back(n);
    for (char label : output) shape.push_back(size[label]);
    Array out(shape);
    for_each_index(all, [&](const Ints& index) {
      int i = 0;
      for (const auto& [label, n] : size) at[label] = index[i++];
      double product = 1;
      for (size_t t = 0; t < terms.size(); ++t) {
        Ints place;
        for (size_t k = 0; k < terms[t].size(); ++k)
          place.push_back(in[t].shape[static_cast<int>(k)] == 1 ? 0 : at[terms[t][k]]);
        product *= in[t][in[t].at(place)];
      }
      Ints place;
      for (char label : output) place.push_back(at[label]);
      out[out.at(place)] += product;
    });
    return Arrays{out};
  };
}

void Builder::add_einsum() {
  const auto one = [&](const std::string& equation, std::vector<Shape> shapes) {
    std::vector<CaseInput> inputs;
    for (size_t i = 0; i < shapes.size(); ++i)
      inputs.push_back({reals(shapes[i], -1, 1, static_cast<uint32_t>(i + 1))});
    Case& c = add(
        "einsum", equation, std::move(inputs),
        [equation](Tensors x) {
          return einsum(equation, std::vector<Operand>(x.begin(), x.end()));
        },
        naive_einsum(equation));
    c.bound = {Bound::terms, 2, 1};
    c.roundings = 4;
  };
  one("ijj,jk->ki", {{2, 3, 3}, {3, 4}});
  one("abcab->ba", {{2, 3, 4, 2, 3}});
  one("ij,ij,ij->", {{2, 3}, {2, 3}, {2, 3}});
  one("ik,jk->ijk", {{2, 3}, {4, 3}});
  one("ik,kj->ij", {{2, 1}, {3, 4}});  // a size of 1 broadcasts
  one("bik,bkj->ij", {{2, 3, 4}, {2, 4, 5}});
  one("i,j,k->kji", {{2}, {3}, {4}});
  one("ij,k->", {{2, 3}, {0}});
  one(",ij->ij", {{}, {2, 3}});
}

void Builder::add_loops() {
  Case& power = add(
      "fori", "", {{reals({3}, 0.5, 1.5)}},
      [](Tensors x) {
        return fori(4, full_like(x[0], 1),
                    [&](const Tensor&, const Tensor& y) { return y * x[0]; });
      },
      [](const Arrays& in) {
        Array out(in[0].shape);
        for (int64_t i = 0; i < out.size(); ++i) out[i] = std::pow(in[0][i], 4);
        return Arrays{out};
      });
  power.bound = {Bound::relative, 8};
  power.roundings = 5;
  Case& running = add(
      "scan", "", {{reals({4, 2})}},
      [](Tensors x) {
        return scan({zeros({2}, x[0].dtype())}, {x[0]},
                    [](Tensors carried, Tensors rows) {
                      const Tensor next = carried[0] + rows[0];
                      return Step{{next}, {next}};
                    })
            .stacked[0];
      },
      [](const Arrays& in) {
        Array out = in[0];
        for (int64_t i = 2; i < out.size(); ++i) out[i] += out[i - 2];
        return Arrays{out};
      });
  running.bound = {Bound::terms, 1, 1};
  running.roundings = 5;
}

}  // namespace

std::vector<Case> public_cases() {
  Builder builder;
  builder.add_elementwise();
  builder.add_movement();
  builder.add_einsum();
  builder.add_loops();
  add_attention_cases(builder.cases);
  return std::move(builder.cases);
}

}  // namespace cairn::test
