// Parallel layers whose derivatives nobody wrote, against the whole computation on one rank.
#include "tests/comm/graph_ranks.h"

namespace cairn::test {
namespace {

constexpr int64_t kBatch = 12, kWidth = 12, kHidden = 24;

// y = (x w1)^2 w2, loss = sum(weights y): a network whose sums of small integers are exact.
struct Whole {
  HostArray x = integers({kBatch, kWidth}, 1);
  HostArray w1 = integers({kWidth, kHidden}, 2);
  HostArray w2 = integers({kHidden, kWidth}, 3);
  HostArray weights = integers({kBatch, kWidth}, 4);
  std::vector<Values> expected;  // loss, d x, d w1, d w2

  Whole() {
    const Tensor wrt[] = {Tensor(x), Tensor(w1), Tensor(w2)};
    const Tensor h = matmul(wrt[0], wrt[1]);
    const Tensor loss = sum(matmul(h * h, wrt[2]) * Tensor(weights));
    std::vector<Tensor> results{loss};
    for (const Tensor& g : gradients(loss, wrt)) results.push_back(g);
    expected = values_of(runtime(), results);
  }
  // Gradient `of` (0 x, 1 w1, 2 w2) of part `index` along an axis.
  Values gradient(int of, int axis, int64_t count, int64_t index) const {
    const Shape shapes[] = {x.shape(), w1.shape(), w2.shape()};
    const HostArray whole =
        HostArray::from<double>(expected[static_cast<size_t>(of) + 1], shapes[of]);
    const HostArray piece = part(whole, axis, count, index);
    const auto span = piece.span<double>();
    return {span.begin(), span.end()};
  }
};

std::vector<Values> with_gradients(Runtime& on, const Tensor& loss, std::span<const Tensor> wrt) {
  std::vector<Tensor> results{loss};
  for (const Tensor& g : gradients(loss, wrt)) results.push_back(g);
  for (size_t i = 0; i < wrt.size(); ++i) EXPECT_EQ(results[i + 1].type(), wrt[i].type());
  return values_of(on, results);
}

class Parallel : public testing::TestWithParam<int> {};

// Megatron: w1 cut in columns, w2 in rows; one all_reduce forward where partial sums leave, one
// backward where x enters.
TEST_P(Parallel, TensorParallel) {
  const Whole whole;
  const int ranks = GetParam();
  on_ranks(ranks, [&](int rank, Runtime& on) {
    const MeshAxis axis{"data", ranks};
    const Tensor wrt[] = {on.upload(whole.x), own(on, part(whole.w1, 1, ranks, rank), {"data"}),
                          own(on, part(whole.w2, 0, ranks, rank), {"data"})};
    const Tensor h = matmul(vary(wrt[0], axis), wrt[1]);
    const Tensor y = all_reduce(matmul(h * h, wrt[2]), axis);
    const auto got = with_gradients(on, sum(y * on.upload(whole.weights)), wrt);
    EXPECT_EQ(got[0], whole.expected[0]);
    EXPECT_EQ(got[1], whole.expected[1]);
    EXPECT_EQ(got[2], whole.gradient(1, 1, ranks, rank));
    EXPECT_EQ(got[3], whole.gradient(2, 0, ranks, rank));
  });
}

// Sequence parallelism: activations cut in rows outside of the pair, gathered where they enter and
// scattered where they leave.
TEST_P(Parallel, SequenceParallel) {
  const Whole whole;
  const int ranks = GetParam();
  on_ranks(ranks, [&](int rank, Runtime& on) {
    const MeshAxis axis{"data", ranks};
    const Tensor wrt[] = {own(on, part(whole.x, 0, ranks, rank), {"data"}),
                          own(on, part(whole.w1, 1, ranks, rank), {"data"}),
                          own(on, part(whole.w2, 0, ranks, rank), {"data"})};
    const Tensor h = matmul(all_gather(wrt[0], axis), wrt[1]);
    const Tensor y = reduce_scatter(matmul(h * h, wrt[2]), axis);
    const Tensor w = own(on, part(whole.weights, 0, ranks, rank), {"data"});
    const auto got = with_gradients(on, all_reduce(sum(y * w), axis), wrt);
    EXPECT_EQ(got[0], whole.expected[0]);
    EXPECT_EQ(got[1], whole.gradient(0, 0, ranks, rank));
    EXPECT_EQ(got[2], whole.gradient(1, 1, ranks, rank));
    EXPECT_EQ(got[3], whole.gradient(2, 0, ranks, rank));
  });
}

// The gradient of parameters that are equal everywhere is summed over the ranks' examples.
TEST_P(Parallel, DataParallel) {
  const Whole whole;
  const int ranks = GetParam();
  on_ranks(ranks, [&](int rank, Runtime& on) {
    const MeshAxis axis{"data", ranks};
    const Tensor wrt[] = {own(on, part(whole.x, 0, ranks, rank), {"data"}), on.upload(whole.w1),
                          on.upload(whole.w2)};
    const Tensor w = own(on, part(whole.weights, 0, ranks, rank), {"data"});
    const Tensor h = matmul(wrt[0], vary(wrt[1], axis));
    const Tensor y = matmul(h * h, vary(wrt[2], axis));
    const auto got = with_gradients(on, all_reduce(sum(y * w), axis), wrt);
    EXPECT_EQ(got[0], whole.expected[0]);
    EXPECT_EQ(got[1], whole.gradient(0, 0, ranks, rank));
    EXPECT_EQ(got[2], whole.expected[2]);
    EXPECT_EQ(got[3], whole.expected[3]);
  });
}

// ZeRO-3: each rank keeps a part of the parameters, gathers them for use, and gets its part of the
// summed gradient by the transpose, reduce_scatter.
TEST_P(Parallel, ShardedParameters) {
  const Whole whole;
  const int ranks = GetParam();
  on_ranks(ranks, [&](int rank, Runtime& on) {
    const MeshAxis axis{"data", ranks};
    const Tensor wrt[] = {own(on, part(whole.x, 0, ranks, rank), {"data"}),
                          own(on, part(whole.w1, 0, ranks, rank), {"data"}),
                          own(on, part(whole.w2, 1, ranks, rank), {"data"})};
    const Tensor w = own(on, part(whole.weights, 0, ranks, rank), {"data"});
    const Tensor h = matmul(wrt[0], all_gather(wrt[1], axis, 0));
    const Tensor y = matmul(h * h, all_gather(wrt[2], axis, 1));
    const auto got = with_gradients(on, all_reduce(sum(y * w), axis), wrt);
    EXPECT_EQ(got[0], whole.expected[0]);
    EXPECT_EQ(got[1], whole.gradient(0, 0, ranks, rank));
    EXPECT_EQ(got[2], whole.gradient(1, 0, ranks, rank));
    EXPECT_EQ(got[3], whole.gradient(2, 1, ranks, rank));
  });
}

INSTANTIATE_TEST_SUITE_P(Ranks, Parallel, testing::Range(1, 5));

// Examples cut along one axis of the mesh, the hidden layer along the other.
TEST(ParallelMesh, DataAndTensor) {
  const Whole whole;
  const LocalMeshAxis axes[] = {{"data", 2}, {"model", 2}};
  on_ranks(axes, [&](int rank, Runtime& on) {
    const MeshAxis data{"data", 2}, model{"model", 2};
    const int d = rank / 2, m = rank % 2;
    const Tensor wrt[] = {own(on, part(whole.x, 0, 2, d), {"data"}),
                          own(on, part(whole.w1, 1, 2, m), {"model"}),
                          own(on, part(whole.w2, 0, 2, m), {"model"})};
    const Tensor w = own(on, part(whole.weights, 0, 2, d), {"data"});
    const Tensor h = matmul(vary(wrt[0], model), vary(wrt[1], data));
    const Tensor y = all_reduce(matmul(h * h, vary(wrt[2], data)), model);
    const auto got = with_gradients(on, all_reduce(sum(y * w), data), wrt);
    EXPECT_EQ(got[0], whole.expected[0]);
    EXPECT_EQ(got[1], whole.gradient(0, 0, 2, d));
    EXPECT_EQ(got[2], whole.gradient(1, 1, 2, m));
    EXPECT_EQ(got[3], whole.gradient(2, 0, 2, m));
  });
}

// On one rank every collective is the identity, to the bit, in values that round.
TEST(ParallelMesh, OneRankHasTheBitsOfNone) {
  for (const DType dtype : {DType::f32, DType::f16, DType::bf16}) {
    on_ranks(1, [&](int, Runtime& on) {
      const MeshAxis axis{"data", 1};
      const auto leaf = [&](const Shape& shape, int seed) {
        return eval(on, cast(sin(Tensor(integers(shape, seed)) * 1.7) / 3.0, dtype));
      };
      const Tensor x = leaf({6, 8}, 1);
      const Tensor wrt[] = {leaf({8, 16}, 2), leaf({16, 8}, 3)};
      const auto run = [&](bool parallel) {
        const Tensor w1 = parallel ? all_gather(wrt[0], axis, 0, true) : wrt[0];
        const Tensor w2 = parallel ? all_gather(wrt[1], axis, 1, true) : wrt[1];
        Tensor y = matmul(tanh(matmul(x, w1)), w2);
        if (parallel) y = all_reduce(shift(all_to_all(y, axis, 0, 1), axis), axis);
        const Tensor loss = sum(tanh(y));
        std::vector<Tensor> results{y, loss};
        for (const Tensor& g : gradients(loss, wrt)) results.push_back(g);
        return eval(on, results);
      };
      const auto with = run(true), without = run(false);
      for (size_t i = 0; i < with.size(); ++i) {
        const HostArray a = with[i].host(), b = without[i].host();
        ASSERT_EQ(a.bytes(), b.bytes());
        const auto* p = static_cast<const char*>(a.data());
        EXPECT_TRUE(std::equal(p, p + a.bytes(), static_cast<const char*>(b.data())))
            << name(dtype) << " result " << i;
      }
    });
  }
}

}  // namespace
}  // namespace cairn::test
