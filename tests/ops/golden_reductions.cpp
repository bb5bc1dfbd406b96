// Reductions, ordering, indexing and movement.
#include <cmath>

#include "cairn/ops/elementwise.h"
#include "cairn/ops/index.h"
#include "cairn/ops/movement.h"
#include "cairn/ops/reduce.h"
#include "tests/ops/golden_functions.h"

namespace cairn::test {

void add_reductions(GoldenFunctions& table) {
  const auto over_axes = [&table](const std::string& name, Bound bound,
                                  Tensor (*f)(Operand, Ints, bool)) {
    table[name] = {bound, [f](Tensors in, const GoldenCase& c) {
                     return std::vector<Tensor>{
                         f(in[0], ints(c.attributes["axes"]), c.attributes["keepdims"])};
                   }};
  };
  over_axes("sum", {Bound::terms, 1, 1}, sum);
  over_axes("mean", {Bound::terms, 1, 1}, mean);
  over_axes("prod", {Bound::relative, 70}, prod);  // of at most 60 factors
  over_axes("max", {}, max);
  over_axes("min", {}, min);
  over_axes("any", {}, any);
  over_axes("all", {}, all);
  over_axes("logsumexp", {Bound::terms, 2, 1}, logsumexp);
  for (const auto& [name, f] :
       std::initializer_list<std::pair<const char*, Tensor (*)(Operand, Ints, int, bool)>>{
           {"variance", variance}, {"standard_deviation", standard_deviation}})
    table[name] = {
        {Bound::terms, 4, 2}, [f = f](Tensors in, const GoldenCase& c) {
          return std::vector<Tensor>{f(in[0], ints(c.attributes["axes"]),
                                       c.attributes["correction"], c.attributes["keepdims"])};
        }};
  table["norm"] = {
      {Bound::terms, 2, 1}, [](Tensors in, const GoldenCase& c) {
        const auto& order = c.attributes["ord"];
        return std::vector<Tensor>{norm(in[0], order.is_string() ? INFINITY : order.get<double>(),
                                        ints(c.attributes["axes"]), c.attributes["keepdims"])};
      }};
  for (const auto& [name, f] :
       std::initializer_list<std::pair<const char*, Tensor (*)(Operand, int, bool)>>{
           {"argmax", argmax}, {"argmin", argmin}})
    table[name] = {
        {}, [f = f](Tensors in, const GoldenCase& c) {
          return std::vector<Tensor>{f(in[0], c.attributes["axis"], c.attributes["keepdims"])};
        }};
  const auto running = [&table](const std::string& name, Bound bound,
                                Tensor (*f)(Operand, int, bool)) {
    table[name] = {
        bound, [f](Tensors in, const GoldenCase& c) {
          return std::vector<Tensor>{f(in[0], c.attributes["axis"], c.attributes["reverse"])};
        }};
  };
  running("cumsum", {Bound::terms, 1, 1}, cumsum);
  running("cumprod", {Bound::relative, 10}, cumprod);  // of at most 7 factors
  running("cummax", {}, cummax);
  running("cummin", {}, cummin);
  running("logcumsumexp", {Bound::terms, 2, 1}, logcumsumexp);
  for (const auto& [name, f] :
       std::initializer_list<std::pair<const char*, Tensor (*)(Operand, int, bool)>>{
           {"sort", sort}, {"argsort", argsort}})
    table[name] = {
        {}, [f = f](Tensors in, const GoldenCase& c) {
          return std::vector<Tensor>{f(in[0], c.attributes["axis"], c.attributes["descending"])};
        }};
  table["top_k"] = {{}, [](Tensors in, const GoldenCase& c) {
                      const auto [values, indices] = top_k(in[0], c.attributes["k"]);
                      return std::vector<Tensor>{values, indices};
                    }};
  table["unique"] = {{}, [](Tensors in, const GoldenCase& c) {
                       const auto u =
                           unique(in[0], c.attributes["size"], c.attributes["fill"].get<double>());
                       return std::vector<Tensor>{u.values, u.inverse, u.counts, u.count};
                     }};
}

void add_movement(GoldenFunctions& table) {
  const auto one = [&table](const std::string& name,
                            std::function<Tensor(const Tensor&, const nlohmann::json&)> f) {
    table[name] = {{}, [f](Tensors in, const GoldenCase& c) {
                     return std::vector<Tensor>{f(in[0], c.attributes)};
                   }};
  };
  using J = nlohmann::json;
  table["take"] = {{}, [](Tensors in, const GoldenCase& c) {
                     return std::vector<Tensor>{take(in[0], in[1], c.attributes["axis"])};
                   }};
  table["take_along_axis"] = {
      {}, [](Tensors in, const GoldenCase& c) {
        return std::vector<Tensor>{take_along_axis(in[0], in[1], c.attributes["axis"])};
      }};
  table["index_update"] = {
      {Bound::terms, 1, 4}, [](Tensors in, const GoldenCase& c) {
        const std::string mode = c.attributes["mode"];
        const auto f = mode == "set"   ? index_set
                       : mode == "add" ? index_add
                       : mode == "max" ? index_max
                       : mode == "min" ? index_min
                                       : index_multiply;
        return std::vector<Tensor>{f(in[0], in[1], in[2], c.attributes["axis"])};
      }};
  table["scatter_along_axis"] = {
      {Bound::terms, 1, 1}, [](Tensors in, const GoldenCase& c) {
        return std::vector<Tensor>{put_along_axis(in[0], in[1], in[2], c.attributes["axis"],
                                                  c.attributes["mode"].get<std::string>())};
      }};
  table["concatenate"] = {
      {}, [](Tensors in, const GoldenCase& c) {
        return std::vector<Tensor>{concatenate(in, c.attributes["axis"].get<int>())};
      }};
  table["stack"] = {{}, [](Tensors in, const GoldenCase& c) {
                      return std::vector<Tensor>{stack(in, c.attributes["axis"].get<int>())};
                    }};
  table["split"] = {{}, [](Tensors in, const GoldenCase& c) {
                      return split_sizes(in[0], c.attributes["sizes"].get<std::vector<int64_t>>(),
                                         c.attributes["axis"]);
                    }};
  one("pad", [](const Tensor& x, const J& a) {
    Ints low, high;
    for (const auto& pair : a["widths"]) {
      low.push_back(pair[0].get<int64_t>());
      high.push_back(pair[1].get<int64_t>());
    }
    if (a["mode"] == "constant") return pad(x, low, high, a["value"].get<double>());
    return pad(x, low, high, a["mode"] == "edge" ? PadMode::edge : PadMode::reflect);
  });
  one("roll", [](const Tensor& x, const J& a) {
    Tensor y = x;
    for (size_t i = 0; i < a["shift"].size(); ++i)
      y = roll(y, a["shift"][i].get<int64_t>(), a["axes"][i].get<int>());
    return y;
  });
  one("flip", [](const Tensor& x, const J& a) { return flip(x, ints(a["axes"])); });
  one("tril", [](const Tensor& x, const J& a) { return tril(x, a["k"]); });
  one("triu", [](const Tensor& x, const J& a) { return triu(x, a["k"]); });
  one("diag", [](const Tensor& x, const J& a) {
    return x.rank() == 1 ? diag(x, a["k"]) : diagonal(x, a["k"]);
  });
  one("repeat", [](const Tensor& x, const J& a) {
    if (a["repeats"].is_array())
      return repeat(x, a["repeats"].get<std::vector<int64_t>>(), a["axis"].get<int>());
    return repeat(x, a["repeats"].get<int64_t>(), a["axis"].get<int>());
  });
  one("tile", [](const Tensor& x, const J& a) { return tiled(x, ints(a["repeats"])); });
  one("one_hot", [](const Tensor& x, const J& a) {
    return one_hot(x, a["classes"].get<int64_t>(), DType::f64);
  });
  table["trace"] = {{Bound::terms, 1, 1}, [](Tensors in, const GoldenCase& c) {
                      return std::vector<Tensor>{trace_of(in[0], c.attributes["k"])};
                    }};
  table["linspace"] = {{Bound::terms, 1, 1}, [](Tensors, const GoldenCase& c) {
                         const auto& a = c.attributes;
                         return std::vector<Tensor>{linspace(a["start"], a["stop"], a["count"],
                                                             DType::f64, a["endpoint"])};
                       }};
  table["arange"] = {{}, [](Tensors, const GoldenCase& c) {
                       const auto& a = c.attributes;
                       return std::vector<Tensor>{arange(
                           a["start"].get<double>(), a["stop"].get<double>(),
                           a["step"].get<double>(), *parse_dtype(a["dtype"].get<std::string>()))};
                     }};
  table["eye"] = {{}, [](Tensors, const GoldenCase& c) {
                    const auto& a = c.attributes;
                    return std::vector<Tensor>{eye(a["rows"], a["columns"], a["k"], DType::f64)};
                  }};
}

}  // namespace cairn::test
