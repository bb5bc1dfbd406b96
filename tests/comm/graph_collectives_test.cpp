// Every collective of the graph and its derivative, on 1 to 4 ranks, against the same function of
// all ranks' operands stacked, computed by one rank without collectives.
#include <gmock/gmock.h>

#include "cairn/ops/control.h"
#include "cairn/ops/index.h"
#include "cairn/transforms/checkpoint.h"
#include "tests/comm/graph_ranks.h"

namespace cairn::test {
namespace {

struct Case {
  std::string name;
  // This rank's result from its operand.
  std::function<Tensor(const Tensor&, const MeshAxis&)> local;
  // All ranks' results [ranks, ...] from all operands; without the first axis where the result is
  // equal everywhere.
  std::function<Tensor(const Tensor&, int)> global;
  bool result_is_equal = false;
  bool operand_is_equal = false;
};

Tensor rank_of(const Tensor& stacked, int r) {
  return squeeze(slice_axis(stacked, 0, r, r + 1), {0});
}
// The operands of all ranks, joined along an axis of theirs.
Tensor joined(const Tensor& stacked, int ranks, int axis) {
  std::vector<Tensor> parts;
  for (int r = 0; r < ranks; ++r) parts.push_back(rank_of(stacked, r));
  return concatenate(parts, axis);
}
Tensor repeated(const Tensor& x, int ranks) {
  return stack(std::vector<Tensor>(static_cast<size_t>(ranks), x));
}
// to[r] for every rank: the last sends to nobody, the others to the rank above, none to rank 0.
std::vector<int32_t> upwards(int64_t ranks) {
  std::vector<int32_t> to;
  for (int64_t r = 0; r < ranks; ++r)
    to.push_back(static_cast<int32_t>(r + 1 < ranks ? r + 1 : -1));
  return to;
}

std::vector<Case> cases() {
  using T = const Tensor&;
  using M = const MeshAxis&;
  std::vector<Case> list;
  list.push_back({"all_reduce", [](T x, M m) { return all_reduce(x, m); },
                  [](T x, int) { return sum(x, {0}); }, true});
  list.push_back({"all_gather_0", [](T x, M m) { return all_gather(x, m, 0); },
                  [](T x, int n) { return repeated(joined(x, n, 0), n); }});
  list.push_back({"all_gather_1", [](T x, M m) { return all_gather(x, m, 1); },
                  [](T x, int n) { return repeated(joined(x, n, 1), n); }});
  list.push_back({"all_gather_invariant_0", [](T x, M m) { return all_gather(x, m, 0, true); },
                  [](T x, int n) { return joined(x, n, 0); }, true});
  list.push_back({"all_gather_invariant_2", [](T x, M m) { return all_gather(x, m, -1, true); },
                  [](T x, int n) { return joined(x, n, 2); }, true});
  list.push_back({"reduce_scatter_0", [](T x, M m) { return reduce_scatter(x, m, 0); },
                  [](T x, int n) { return stack(split(sum(x, {0}), n, 0)); }});
  list.push_back({"reduce_scatter_1", [](T x, M m) { return reduce_scatter(x, m, 1); },
                  [](T x, int n) { return stack(split(sum(x, {0}), n, 1)); }});
  const auto exchanged = [](int split_axis, int concat_axis) {
    return [=](T x, int n) {
      std::vector<Tensor> results;
      for (int to = 0; to < n; ++to) {
        std::vector<Tensor> parts;
        for (int from = 0; from < n; ++from)
          parts.push_back(split(rank_of(x, from), n, split_axis)[static_cast<size_t>(to)]);
        results.push_back(concatenate(parts, concat_axis));
      }
      return stack(results);
    };
  };
  list.push_back(
      {"all_to_all_0_1", [](T x, M m) { return all_to_all(x, m, 0, 1); }, exchanged(0, 1)});
  list.push_back(
      {"all_to_all_1_0", [](T x, M m) { return all_to_all(x, m, 1, 0); }, exchanged(1, 0)});
  list.push_back(
      {"all_to_all_1_1", [](T x, M m) { return all_to_all(x, m, 1, 1); }, exchanged(1, 1)});
  // Rank s sends (s + r) % (block + 1) rows to rank r.
  list.push_back({"all_to_all_counts",
                  [](T x, M m) {
                    const int64_t rows = x.size(0) / m.size + 1;
                    const Tensor counts = remainder(axis_index(m) + arange(m.size), rows);
                    return all_to_all(x, m, 0, 1, counts);
                  },
                  [exchanged](T x, int n) {
                    std::vector<Tensor> sent;
                    const int64_t block = x.size(1) / n;
                    for (int s = 0; s < n; ++s) {
                      std::vector<Tensor> parts = split(rank_of(x, s), n, 0);
                      for (int r = 0; r < n; ++r) {
                        const int64_t kept = (s + r) % (block + 1);
                        Tensor& part = parts[static_cast<size_t>(r)];
                        part = pad(slice_axis(part, 0, 0, kept), {0, 0, 0}, {block - kept, 0, 0});
                      }
                      sent.push_back(concatenate(parts, 0));
                    }
                    return exchanged(0, 1)(stack(sent), n);
                  }});
  list.push_back({"permute", [](T x, M m) { return permute(x, m, upwards(m.size)); },
                  [](T x, int n) {
                    std::vector<Tensor> results{rank_of(x, 0) * 0.0};
                    for (int r = 0; r + 1 < n; ++r) results.push_back(rank_of(x, r));
                    return stack(results);
                  }});
  list.push_back({"shift", [](T x, M m) { return shift(x, m, -1); },
                  [](T x, int n) {
                    std::vector<Tensor> results;
                    for (int r = 0; r < n; ++r) results.push_back(rank_of(x, (r + 1) % n));
                    return stack(results);
                  }});
  list.push_back({"axis_index", [](T x, M m) { return x * cast(axis_index(m), DType::f64); },
                  [](T x, int n) {
                    std::vector<Tensor> results;
                    for (int r = 0; r < n; ++r) results.push_back(rank_of(x, r) * double{1.0 * r});
                    return stack(results);
                  }});
  list.push_back({"vary", [](T x, M m) { return vary(x, m); },
                  [](T x, int n) { return repeated(x, n); }, false, true});
  return list;
}

class GraphCollective : public testing::TestWithParam<std::tuple<Case, int>> {};

// loss = sum of w y^2 over all elements of all ranks, with other weights for each.
TEST_P(GraphCollective, ValueAndGradient) {
  const auto& [c, ranks] = GetParam();
  // 12 divides among 1 to 4.
  const Shape shape{12, 12, 2};
  Shape all = shape;
  if (!c.operand_is_equal) all.insert(0, ranks);
  const HostArray x = integers(all, 1);
  const Tensor stacked(x);
  const Tensor expected_y = c.global(stacked, ranks);
  const HostArray weights = integers(expected_y.shape(), 2);
  const Tensor expected_loss = sum(Tensor(weights) * expected_y * expected_y);
  const auto expected = values_of(
      runtime(),
      std::vector<Tensor>{expected_y, expected_loss,
                          gradients(expected_loss, std::span<const Tensor>(&stacked, 1))[0]});
  const auto of_rank = [&](const Values& values, bool equal, int rank) {
    if (equal) return values;
    const auto size = static_cast<int64_t>(values.size()) / ranks;
    return Values(values.begin() + rank * size, values.begin() + (rank + 1) * size);
  };

  on_ranks(ranks, [&, &c = c, ranks = ranks](int rank, Runtime& on) {
    const MeshAxis axis{"data", ranks};
    const Tensor mine = c.operand_is_equal ? on.upload(x) : own(on, row(x, rank), {"data"});
    const Tensor y = c.local(mine, axis);
    EXPECT_EQ(y.type().varying.empty(), c.result_is_equal);
    const Tensor w = c.result_is_equal ? on.upload(weights) : own(on, row(weights, rank), {"data"});
    Tensor loss = sum(w * y * y);
    if (!c.result_is_equal) loss = all_reduce(loss, axis);
    const Tensor gradient = gradients(loss, std::span<const Tensor>(&mine, 1))[0];
    EXPECT_EQ(gradient.type(), mine.type());
    for (const bool eager : {false, true}) {
      EvalOptions options;
      options.eager = eager;
      const auto got = eval(on, std::vector<Tensor>{y, loss, gradient}, options);
      EXPECT_EQ(got[0].to_vector<double>(), of_rank(expected[0], c.result_is_equal, rank));
      EXPECT_EQ(got[1].to_vector<double>(), expected[1]);
      EXPECT_EQ(got[2].to_vector<double>(), of_rank(expected[2], c.operand_is_equal, rank));
    }
  });
}

INSTANTIATE_TEST_SUITE_P(All, GraphCollective,
                         testing::Combine(testing::ValuesIn(cases()), testing::Range(1, 5)),
                         [](const auto& test) {
                           return std::get<0>(test.param).name + "_on_" +
                                  std::to_string(std::get<1>(test.param));
                         });

TEST(GraphCollectives, MaxAndMinAndMean) {
  on_ranks(3, [](int rank, Runtime& on) {
    const MeshAxis axis{"data", 3};
    const Tensor x = own(
        on, HostArray::from<double>(std::vector<double>{1.0 * rank, 5.0 - rank}, {2}), {"data"});
    const auto got =
        values_of(on, std::vector<Tensor>{all_reduce(x, axis, "max"), all_reduce(x, axis, "min"),
                                          all_reduce_mean(x, axis)});
    EXPECT_EQ(got, (std::vector<Values>{{2, 5}, {0, 3}, {1, 4}}));
  });
}

// Independent collectives are issued in one order on all ranks, however often, compiled or not.
TEST(GraphCollectives, IndependentOnesKeepTheirOrder) {
  on_ranks(3, [](int rank, Runtime& on) {
    const MeshAxis axis{"data", 3};
    Function step = compile([&](std::span<const Tensor> in) -> std::vector<Tensor> {
      std::vector<Tensor> out;
      for (int i = 0; i < 8; ++i)
        out.push_back(i % 2 ? all_reduce(sum(in[0]) * (1.0 * i), axis)
                            : sum(all_gather(in[0] * (1.0 * i), axis, 0, true)));
      return out;
    });
    for (int round = 0; round < 5; ++round) {
      const Values mine{1.0 * rank, 1.0 * round};
      const auto got = step(on, {own(on, HostArray::from<double>(mine, {2}), {"data"})});
      for (int i = 0; i < 8; ++i)
        EXPECT_EQ(got[static_cast<size_t>(i)].item<double>(), i * (3.0 + 3 * round));
    }
    EXPECT_EQ(step.traces(), 1);
  });
}

// Rank 1 ends with an exception while rank 0 is in the middle of an evaluation.
TEST(GraphCollectives, AnErrorOnOneRankEndsTheOthers) {
  std::string told;
  const std::string first = error_of([&] {
    on_ranks(2, [&](int rank, Runtime& on) {
      const MeshAxis axis{"data", 2};
      const Tensor x = own(on, integers({4}, rank), {"data"});
      eval(on, all_reduce(x, axis));
      if (rank == 1) throw Error("the data ended");
      try {
        eval(on, all_reduce(x, axis));
      } catch (const Error& e) {
        told = e.what();
        throw;
      }
    });
  });
  EXPECT_EQ(first, "the data ended");
  EXPECT_THAT(told, testing::HasSubstr("rank 1 failed: the data ended"));
}

TEST(GraphCollectives, MeshMustFitTheGraph) {
  on_ranks(1, [](int, Runtime& on) {
    const Tensor x = on.upload(integers({4}, 0));
    EXPECT_THAT(error_of([&] { eval(on, all_reduce(x, MeshAxis{"model", 1})); }),
                testing::HasSubstr("[all_reduce] this runtime has no mesh axis 'model'"));
    EXPECT_THAT(error_of([&] { eval(on, all_reduce(x, MeshAxis{"data", 2})); }),
                testing::HasSubstr("the graph was built for 2 ranks along 'data', there are 1"));
  });
}

// Ranks that evaluate different programs are told so, before one takes the other's numbers.
TEST(GraphCollectives, DifferentGraphsAreNamed) {
  on_ranks(2, [](int rank, Runtime& own_runtime) {
    const MeshAxis axis{"data", 2};
    const Tensor x = own(own_runtime, integers({4}, rank), {"data"});
    const Tensor y = all_reduce(rank == 0 ? x * 2.0 : x + 2.0, axis);
    try {
      eval(own_runtime, y);
      ADD_FAILURE() << "rank " << rank << " noticed nothing";
    } catch (const Error& e) {
      EXPECT_NE(std::string(e.what()).find("differs"), std::string::npos) << e.what();
      EXPECT_NE(std::string(e.what()).find("'data'"), std::string::npos) << e.what();
    }
  });
}

// Rematerialisation under data parallelism: weights equal everywhere, activations not.
TEST(GraphCollectives, InsideACheckpointAndALoop) {
  constexpr int kRanks = 2;
  const HostArray x = integers({kRanks, 3}, 3), w = integers({3}, 5);
  const auto loss = [](const Tensor& weights, const Tensor& mine, const MeshAxis* axis) {
    const auto step = checkpoint([axis](Tensor s, Tensor v) {
      const Tensor term = sum(v * v * s);
      return axis ? all_reduce(term, *axis) : term;
    });
    return fori(2, full({}, 1, DType::f64), [&](const Tensor& k, const Tensor& sum_so_far) {
      return sum_so_far + step(weights * cast(k + 1, DType::f64), mine);
    });
  };
  Tensor expected = full({3}, 0, DType::f64);
  {
    const Tensor all{x};
    std::vector<Tensor> parts;
    const auto whole = [&](Tensor v) {
      Tensor total = full({}, 0, DType::f64);
      for (int r = 0; r < kRanks; ++r) total = total + loss(v, rank_of(all, r), nullptr) - 1.0;
      return total;
    };
    expected = grad(whole)(Tensor(w));
  }
  const Values wanted = values_of(runtime(), {&expected, 1})[0];
  on_ranks(kRanks, [&](int rank, Runtime& own_runtime) {
    const MeshAxis axis{"data", kRanks};
    const Tensor mine = own(own_runtime, row(x, rank), {"data"});
    const Tensor g = grad([&](Tensor v) { return loss(v, mine, &axis); })(own_runtime.upload(w));
    EXPECT_EQ(values_of(own_runtime, {&g, 1})[0], wanted) << rank;
  });
}

}  // namespace
}  // namespace cairn::test
