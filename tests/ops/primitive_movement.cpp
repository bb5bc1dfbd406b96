// Cases of the primitives that move elements, each with a naive reference.
#include <algorithm>
#include <cmath>

#include "tests/ops/op_cases.h"

namespace cairn::test {
namespace {

const std::vector<DType> kNumbers = joined({kFloats, kIntegers});
const std::vector<DType> kEvery = joined({kFloats, kIntegers, kFloats8, {DType::b8}});

struct Builder {
  std::vector<Case> cases;
  void add_movement();
  void add_slices();
  void add_indexing();
};

// Movement: where each element of the result comes from.
using Source = std::function<Ints(const Ints& out)>;

Reference moved(Shape shape, Source source) {
  return [=](const Arrays& in) {
    Array out(shape);
    for_each_index(shape,
                   [&](const Ints& index) { out[out.at(index)] = in[0][in[0].at(source(index))]; });
    return Arrays{out};
  };
}

void Builder::add_movement() {
  const size_t first = cases.size();
  const Array x = reals({2, 3, 4}, -9, 9);
  const auto ravel = [](const Arrays& in) { return Arrays{Array({4, 6}, in[0].v)}; };
  add_case(cases, Op::reshape, "", {{x}}, {{Attr::shape, Ints{4, 6}}}, ravel);
  add_case(cases, Op::reshape, "empty", {{Array({2, 0, 3})}}, {{Attr::shape, Ints{0, 5}}},
           [](const Arrays&) { return Arrays{Array({0, 5})}; });
  add_case(cases, Op::broadcast, "", {{reals({2, 1})}},
           {{Attr::shape, Ints{3, 2, 4}}, {Attr::axes, Ints{1, 2}}},
           moved({3, 2, 4}, [](const Ints& i) { return Ints{i[1], 0}; }));
  add_case(cases, Op::broadcast, "scalar", {{reals({})}},
           {{Attr::shape, Ints{3, 0, 2}}, {Attr::axes, Ints{}}},
           moved({3, 0, 2}, [](const Ints&) { return Ints{}; }));
  add_case(cases, Op::transpose, "", {{x}}, {{Attr::axes, Ints{2, 0, 1}}},
           moved({4, 2, 3}, [](const Ints& i) { return Ints{i[1], i[2], i[0]}; }));
  add_case(cases, Op::transpose, "swap", {{reals({5, 7})}}, {{Attr::axes, Ints{1, 0}}},
           moved({7, 5}, [](const Ints& i) { return Ints{i[1], i[0]}; }));
  add_case(cases, Op::slice, "", {{reals({5, 7})}},
           {{Attr::start, Ints{1, 2}}, {Attr::stop, Ints{5, 7}}, {Attr::step, Ints{3, 2}}},
           moved({2, 3}, [](const Ints& i) { return Ints{1 + 3 * i[0], 2 + 2 * i[1]}; }));
  add_case(cases, Op::reverse, "", {{x}}, {{Attr::axes, Ints{0, 2}}},
           moved({2, 3, 4}, [](const Ints& i) { return Ints{1 - i[0], i[1], 3 - i[2]}; }));
  const auto padded = [](Ints low, Ints high, Ints interior) -> Reference {
    return [=](const Arrays& in) {
      Shape shape = in[0].shape;
      for (int i = 0; i < shape.rank(); ++i)
        shape[i] += low[i] + high[i] + std::max<int64_t>(shape[i] - 1, 0) * interior[i];
      for (int i = 0; i < shape.rank(); ++i) shape[i] = std::max<int64_t>(shape[i], 0);
      Array out(shape);
      std::fill(out.v.begin(), out.v.end(), in[1][0]);
      for_each_index(in[0].shape, [&](const Ints& from) {
        Ints to;
        for (int i = 0; i < from.size(); ++i) {
          to.push_back(low[i] + from[i] * (interior[i] + 1));
          if (to[i] < 0 || to[i] >= shape[i]) return;
        }
        out[out.at(to)] = in[0][in[0].at(from)];
      });
      return Arrays{out};
    };
  };
  const auto pad = [&](const std::string& label, Shape in, Ints low, Ints high, Ints interior) {
    add_case(cases, Op::pad, label, {{reals(in)}, {Array({}, {3})}},
             {{Attr::low, low}, {Attr::high, high}, {Attr::interior, interior}},
             padded(low, high, interior));
  };
  pad("", {2, 3}, {1, 0}, {0, 2}, {0, 0});
  pad("interior", {3, 2}, {1, 2}, {0, 1}, {2, 1});
  pad("negative", {4, 5}, {-1, 2}, {1, -3}, {1, 2});
  pad("of nothing", {0, 2}, {2, 0}, {1, 0}, {0, 0});
  add_case(cases, Op::concatenate, "",
           {{reals({2, 1})}, {reals({2, 3}, -2, 2, 2)}, {reals({2, 0})}},
           {{Attr::axis, int64_t{1}}}, [](const Arrays& in) {
             Array out({2, 4});
             for_each_index(out.shape, [&](const Ints& i) {
               out[out.at(i)] = i[1] < 1 ? in[0][i[0]] : in[1][in[1].at({i[0], i[1] - 1})];
             });
             return Arrays{out};
           });
  add_case(cases, Op::barrier, "", {{reals({3})}, {reals({2}, -2, 2, 2)}}, {},
           [](const Arrays& in) { return in; });
  add_case(cases, Op::transfer, "to the host", {{x}}, {{Attr::placement, Placement{}}},
           [](const Arrays& in) { return in; });
  for (size_t i = first; i < cases.size(); ++i) cases[i].dtypes = kEvery;
}

void Builder::add_slices() {
  const size_t first = cases.size();
  const auto clamped = [](double start, int64_t size, int64_t whole) {
    return std::clamp<int64_t>(static_cast<int64_t>(start), 0, whole - size);
  };
  for (const std::vector<double>& starts : {std::vector<double>{1, 2}, {-5, 0}, {9, 9}}) {
    const CaseInput row{Array({}, {starts[0]}), DType::i32},
        column{Array({}, {starts[1]}), DType::i64};
    add_case(cases, Op::dynamic_slice, "at " + std::to_string(starts[0]),
             {{reals({4, 5})}, row, column}, {{Attr::shape, Ints{2, 3}}},
             [clamped](const Arrays& in) {
               Array out({2, 3});
               const int64_t r = clamped(in[1][0], 2, 4), c = clamped(in[2][0], 3, 5);
               for_each_index(out.shape, [&](const Ints& i) {
                 out[out.at(i)] = in[0][in[0].at({r + i[0], c + i[1]})];
               });
               return Arrays{out};
             });
    add_case(cases, Op::dynamic_update_slice, "at " + std::to_string(starts[0]),
             {{reals({4, 5})}, {reals({2, 3}, -2, 2, 2)}, row, column}, {},
             [clamped](const Arrays& in) {
               Array out = in[0];
               const int64_t r = clamped(in[2][0], 2, 4), c = clamped(in[3][0], 3, 5);
               for_each_index(in[1].shape, [&](const Ints& i) {
                 out[out.at({r + i[0], c + i[1]})] = in[1][in[1].at(i)];
               });
               return Arrays{out};
             });
  }
  for (size_t i = first; i < cases.size(); ++i) cases[i].dtypes = kEvery;
}

void Builder::add_indexing() {
  const auto attrs = [](int64_t axis, int64_t batch) {
    return Attrs{{Attr::axis, axis}, {Attr::batch_dims, batch}};
  };
  Case& plain = add_case(
      cases, Op::gather, "", {{reals({3, 4, 2})}, {wholes({5}, 0, 4), DType::i32}}, attrs(1, 0),
      [](const Arrays& in) {
        Array out({3, 5, 2});
        for_each_index(out.shape, [&](const Ints& i) {
          out[out.at(i)] = in[0][in[0].at({i[0], static_cast<int64_t>(in[1][i[1]]), i[2]})];
        });
        return Arrays{out};
      });
  plain.dtypes = kEvery;
  Case& batched = add_case(
      cases, Op::gather, "batched", {{reals({3, 4, 2})}, {wholes({3, 5}, 0, 4), DType::i64}},
      attrs(1, 1), [](const Arrays& in) {
        Array out({3, 5, 2});
        for_each_index(out.shape, [&](const Ints& i) {
          out[out.at(i)] =
              in[0][in[0].at({i[0], static_cast<int64_t>(in[1][in[1].at({i[0], i[1]})]), i[2]})];
        });
        return Arrays{out};
      });
  batched.dtypes = kEvery;
  for (const char* kind : {"set", "add", "prod", "max", "min"}) {
    for (const int64_t batch : {0, 1}) {
      Attrs a = attrs(1, batch);
      a.set(Attr::kind, std::string(kind));
      // Repeated indices: in index order.
      Case& c = add_case(cases, Op::scatter, std::string(kind) + (batch ? " batched" : ""),
                         {{distinct({3, 4})},
                          {batch ? wholes({3, 5}, 0, 4) : wholes({5}, 0, 4), DType::i32},
                          {distinct({3, 5}, 0.41)}},
                         a, [kind, batch](const Arrays& in) {
                           Array out = in[0];
                           for_each_index(in[2].shape, [&](const Ints& i) {
                             const double place = batch ? in[1][in[1].at(i)] : in[1][i[1]];
                             double& to = out[out.at({i[0], static_cast<int64_t>(place)})];
                             const double update = in[2][in[2].at(i)];
                             to = kind == std::string("set")    ? update
                                  : kind == std::string("add")  ? to + update
                                  : kind == std::string("prod") ? to * update
                                  : kind == std::string("max")  ? std::max(to, update)
                                                                : std::min(to, update);
                           });
                           return Arrays{out};
                         });
      c.dtypes = kind == std::string("set") ? kEvery : kNumbers;
      // Each update is rounded to the type.
      if (kind == std::string("add")) c.bound = {Bound::terms, 1, 1};
      if (kind == std::string("prod")) c.bound = {Bound::terms, 1, 3};
      if (kind == std::string("add") || kind == std::string("prod")) c.roundings = 5;
      if (kind == std::string("prod")) c.orders = 0;  // declared to have no derivative
    }
  }
}

}  // namespace

std::vector<Case> movement_cases() {
  Builder builder;
  builder.add_movement();
  builder.add_slices();
  builder.add_indexing();
  return std::move(builder.cases);
}

}  // namespace cairn::test
