// What happens when ranks do not do the same: an Error with the name of the culprit on every rank,
// never a hang.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <limits>
#include <optional>
#include <thread>

#include "tests/comm/ranks.h"

namespace cairn::test {
namespace {

using testing::AnyOf;
using testing::Each;
using testing::Eq;
using testing::HasSubstr;

// Runs `body` on one thread per rank without telling anybody of exceptions; what each rank threw.
std::vector<std::string> errors(const std::vector<std::shared_ptr<Communicator>>& communicators,
                                const std::function<void(Communicator&)>& body) {
  std::vector<std::string> texts(communicators.size());
  std::vector<std::jthread> threads;
  for (size_t r = 0; r < texts.size(); ++r)
    threads.emplace_back([&, r] {
      try {
        body(*communicators[r]);
      } catch (const Error& e) {
        texts[r] = e.what();
      }
    });
  threads.clear();
  return texts;
}

void add(Communicator& c, int64_t n = 4, DType dtype = DType::f32,
         ReduceKind kind = ReduceKind::sum) {
  std::vector<double> in(static_cast<size_t>(n)), out(static_cast<size_t>(n));
  c.all_reduce(in.data(), out.data(), n, dtype, kind);
}

// Who meets whom first is up to timing, so the two calls may be named in either order.
TEST(LocalFailure, AnotherOperationIsNamed) {
  const auto communicators = make_local_communicators(3);
  const std::vector<std::string> texts = errors(communicators, [](Communicator& c) {
    if (c.rank() != 2) return add(c);
    char in[16] = {}, out[48];
    c.all_gather(in, out, 16);
  });
  for (const std::string& text : texts) {
    EXPECT_THAT(text, AnyOf(HasSubstr("rank 2 called all_gather of 16 bytes, rank "),
                            HasSubstr(", rank 2 all_gather of 16 bytes;")));
    EXPECT_THAT(text, HasSubstr("all_reduce (sum) of 4 f32"));
  }
}

TEST(LocalFailure, TheFirstOneIsWhatOthersAreComparedWith) {
  const auto communicators = make_local_communicators(2, 10);
  std::jthread first([&] {
    EXPECT_EQ(error_of([&] { add(*communicators[0]); }),
              "[all_reduce] rank 1 called all_reduce (sum) of 5 f32, rank 0 all_reduce (sum) of 4 "
              "f32; all ranks must call the same operations in the same order with the same sizes");
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  EXPECT_THAT(
      error_of([&] { add(*communicators[1], 5); }),
      HasSubstr("rank 1 called all_reduce (sum) of 5 f32, rank 0 all_reduce (sum) of 4 f32"));
}

TEST(LocalFailure, EveryDifferenceCounts) {
  const int32_t there[] = {1, 0}, back[] = {0, 1};
  char in[64] = {}, out[64];
  using Body = std::function<void(Communicator&)>;
  const std::pair<Body, Body> pairs[] = {
      {[](Communicator& c) { add(c, 4); }, [](Communicator& c) { add(c, 5); }},
      {[](Communicator& c) { add(c, 4, DType::f32); },
       [](Communicator& c) { add(c, 4, DType::i32); }},
      {[](Communicator& c) { add(c, 4, DType::f32, ReduceKind::max); },
       [](Communicator& c) { add(c, 4, DType::f32, ReduceKind::min); }},
      {[&](Communicator& c) { c.permute(in, out, 4, there); },
       [&](Communicator& c) { c.permute(in, out, 4, back); }},
      {[&](Communicator& c) { c.all_to_all(in, out, 4); },
       [&](Communicator& c) { c.all_to_all(in, out, 8); }},
      {[&](Communicator& c) { c.reduce_scatter(in, out, 4, DType::f32); },
       [&](Communicator& c) { c.reduce_scatter(in, out, 4, DType::i32); }},
      {[](Communicator& c) { c.check_equal(1, "a"); },
       [](Communicator& c) { c.check_equal(1, "b"); }},
      {[](Communicator& c) { c.barrier(); }, [](Communicator& c) { c.check_equal(1, "a"); }},
  };
  for (const auto& [a, b] : pairs) {
    const auto communicators = make_local_communicators(2);
    const std::vector<std::string> texts =
        errors(communicators, [&](Communicator& c) { (c.rank() == 0 ? a : b)(c); });
    EXPECT_THAT(texts, Each(HasSubstr("all ranks must call the same operations")));
  }
}

TEST(LocalFailure, AMissingRankIsNamedInTime) {
  const auto communicators = make_local_communicators(4, 0.2);
  const auto start = std::chrono::steady_clock::now();
  std::vector<std::string> texts = errors(communicators, [](Communicator& c) {
    if (c.rank() == 0 || c.rank() == 3) add(c);
  });
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(30));
  const std::string expected =
      "[all_reduce] ranks 1, 2 did not arrive at all_reduce (sum) of 4 f32 within 0.2 s";
  EXPECT_EQ(texts[0], expected);
  EXPECT_EQ(texts[3], expected);
  // Who comes late is told, too.
  EXPECT_EQ(error_of([&] { communicators[1]->barrier(); }),
            "[barrier] ranks 1, 2 did not arrive at all_reduce (sum) of 4 f32 within 0.2 s");
}

TEST(LocalFailure, AFailedRankEndsTheWaiting) {
  const auto communicators = make_local_communicators(3);
  const std::vector<std::string> texts = errors(communicators, [](Communicator& c) {
    add(c);
    if (c.rank() == 1) return mark_failed(c, "no more memory");
    add(c);
  });
  EXPECT_EQ(texts[0], "[all_reduce] rank 1 failed: no more memory");
  EXPECT_EQ(texts[2], texts[0]);
}

TEST(LocalFailure, ADestroyedCommunicatorEndsTheWaiting) {
  auto communicators = make_local_communicators(2);
  std::jthread other([c = std::move(communicators[1])]() mutable {
    add(*c);
    c.reset();
  });
  add(*communicators[0]);  // both were there: it succeeds although rank 1 is gone right after
  EXPECT_EQ(error_of([&] { communicators[0]->barrier(); }),
            "[barrier] rank 1 has ended: its communicator is gone");
}

TEST(LocalFailure, AFailureIsFinal) {
  const auto communicators = make_local_communicators(2);
  mark_failed(*communicators[0], "first");
  mark_failed(*communicators[1], "second");
  const auto texts = errors(communicators, [](Communicator& c) { c.barrier(); });
  EXPECT_THAT(texts, Each(Eq("[barrier] rank 0 failed: first")));
}

TEST(RunRanks, ThrowsWhatCameFirst) {
  const std::vector<LocalMesh> meshes = one_axis(4);
  std::vector<std::string> texts(4);
  EXPECT_EQ(error_of([&] {
              run_ranks(meshes, [&](int rank) {
                if (rank == 2) throw Error("the disk is full");
                try {
                  add(*meshes[static_cast<size_t>(rank)].at("data"));
                } catch (const Error& e) {
                  texts[static_cast<size_t>(rank)] = e.what();
                  throw;
                }
              });
            }),
            "the disk is full");
  for (const int r : {0, 1, 3})
    EXPECT_EQ(texts[static_cast<size_t>(r)],
              "[all_reduce over 'data'] rank 2 failed: the disk is full");
}

// Rank 0 of a 2x2 mesh fails; rank 3 shares no communicator with it and hears of it from the
// others.
TEST(RunRanks, AFailureCrossesTheMesh) {
  const LocalMeshAxis axes[] = {{"data", 2}, {"model", 2}};
  const std::vector<LocalMesh> meshes = make_local_mesh(axes);
  std::string told;
  EXPECT_EQ(error_of([&] {
              run_ranks(meshes, [&](int rank) {
                if (rank == 0) throw Error("out of range");
                const LocalMesh& mesh = meshes[static_cast<size_t>(rank)];
                try {
                  add(*mesh.at(rank == 2 ? "data" : "model"));
                  add(*mesh.at(rank == 2 ? "model" : "data"));
                } catch (const Error& e) {
                  if (rank == 3) told = e.what();
                  throw;
                }
              });
            }),
            "out of range");
  EXPECT_THAT(told, HasSubstr("over 'model'] rank 0 failed: "));
  EXPECT_THAT(told, HasSubstr("out of range"));
}

TEST(LocalArguments, AreChecked) {
  EXPECT_THAT(error_of([] { make_local_communicators(0); }),
              HasSubstr("0 is not a number of ranks"));
  for (const double deadline : {0.0, -1.0, std::numeric_limits<double>::quiet_NaN(), 1e300})
    EXPECT_THAT(error_of([&] { make_local_communicators(1, deadline); }), HasSubstr("deadline"));
  const LocalMeshAxis twice[] = {{"a", 2}, {"a", 2}}, huge[] = {{"a", 1 << 30}, {"b", 1 << 30}},
                      none[] = {{"a", 0}};
  EXPECT_THAT(error_of([&] { make_local_mesh(twice); }), HasSubstr("'a' is named twice"));
  EXPECT_THAT(error_of([&] { make_local_mesh(huge); }), HasSubstr("a mesh has 1 to 4096 ranks"));
  EXPECT_THAT(error_of([&] { make_local_mesh(none); }), HasSubstr("axis 'a' of 0 ranks"));

  const auto communicators = make_local_communicators(1);
  Communicator& c = *communicators[0];
  char byte = 0;
  EXPECT_THAT(error_of([&] { c.all_reduce(&byte, &byte, -1, DType::f32, ReduceKind::sum); }),
              HasSubstr("-1 is not a number of elements"));
  for (const DType dtype : {DType::b8, DType::f8e4m3, DType::f8e5m2}) {
    EXPECT_THAT(error_of([&] { c.all_reduce(&byte, &byte, 1, dtype, ReduceKind::max); }),
                HasSubstr("takes numbers, not " + std::string(name(dtype))));
    EXPECT_THAT(error_of([&] { c.reduce_scatter(&byte, &byte, 1, dtype); }),
                HasSubstr("takes numbers"));
  }
  const int32_t few[] = {0, 0}, beyond[] = {1}, below[] = {-2};
  for (const auto& to : {std::span<const int32_t>(few), std::span<const int32_t>(beyond),
                         std::span<const int32_t>(below), std::span<const int32_t>()})
    EXPECT_THAT(error_of([&] { c.permute(&byte, &byte, 1, to); }), HasSubstr("destinations"));
  const auto pair = make_local_communicators(2);
  EXPECT_THAT(error_of([&] { pair[0]->permute(&byte, &byte, 1, few); }),
              HasSubstr("send to rank 0 twice"));
}

}  // namespace
}  // namespace cairn::test
