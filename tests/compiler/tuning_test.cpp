// The autotuner: which candidate it takes for given times, what it keeps, and that all of a group's
// candidates give the same bits.
#include "cairn/runtime/cpu/tuning.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>

#include "cairn/base/error.h"
#include "cairn/core/dispatch.h"
#include "cairn/runtime/cpu/cpu_backend.h"
#include "cairn/runtime/cpu/group_tuner.h"
#include "cairn/runtime/ref/ref_backend.h"
#include "cairn/tile/builder.h"
#include "tests/compiler/group_of_text.h"
#include "tests/io/temporary_folder.h"

namespace cairn {
namespace {

using test::Group;
using test::group_of_text;
namespace fs = std::filesystem;
using io::TemporaryFolder;
using ::testing::ElementsAre;

// Candidates with times that are given: run n of candidate i takes seconds[i][n], the last one
// again where there are fewer.
class Given {
 public:
  explicit Given(std::vector<std::vector<double>> seconds) : seconds_(std::move(seconds)) {
    runs.resize(seconds_.size());
    for (size_t i = 0; i < seconds_.size(); ++i)
      candidates.push_back({std::string(1, static_cast<char>('a' + i)), [] { return 1; },
                            [this, i] {
                              const auto& mine = seconds_[i];
                              const auto n = static_cast<size_t>(runs[i]++);
                              now += mine[std::min(n, mine.size() - 1)];
                              return mine[std::min(n, mine.size() - 1)];
                            }});
  }
  TuneOptions options(double budget) {
    return {.seconds = budget, .rounds = 5, .clock = [this] { return now; }};
  }
  std::vector<TuneCandidate> candidates;
  std::vector<int> runs;
  double now = 0;

 private:
  std::vector<std::vector<double>> seconds_;
};

class Tuning : public ::testing::Test {
 protected:
  Timings timings() const { return Timings(folder_ / "timings", CpuTarget::avx2, 2); }
  TemporaryFolder folder_;
  ThreadPool pool_{2};
};

TEST_F(Tuning, TakesTheFasterOfTwo) {
  Given given({{2, 2, 2}, {1, 1, 1}});
  const Tuned tuned = tune("work", given.candidates, timings(), pool_, given.options(100));
  EXPECT_EQ(tuned.best, 1u);
  EXPECT_EQ(tuned.rows[0].seconds, 2);
  EXPECT_EQ(tuned.rows[1].seconds, 1);
  EXPECT_EQ(tuned.rows[1].runs, 5);
  // By medians: one run that was disturbed, or lucky, says nothing.
  Given noisy({{2, 2, 9, 2, 2}, {3, 1, 3, 3, 3}});
  EXPECT_EQ(tune("noisy", noisy.candidates, timings(), pool_, noisy.options(100)).best, 0u);
  // Less than 3 % are noise.
  EXPECT_EQ(best_of(std::vector<double>{1, 0.98}), 0u);
  EXPECT_EQ(best_of(std::vector<double>{1, 0.96, 0.95}), 2u);
  EXPECT_EQ(best_of(std::vector<double>{1, 0, 2}), 0u);
}

TEST_F(Tuning, TheHopelessAreNotRunAgain) {
  Given given({{1}, {1.2}, {1.3}});
  tune("work", given.candidates, timings(), pool_, given.options(100));
  EXPECT_THAT(given.runs, ElementsAre(5, 5, 3));
}

TEST_F(Tuning, EndsWithTheRoundInWhichTheTimeIsOver) {
  Given given({{2}, {1}});
  const Tuned tuned = tune("work", given.candidates, timings(), pool_, given.options(4));
  EXPECT_THAT(given.runs, ElementsAre(2, 2));
  EXPECT_EQ(tuned.best, 1u);
}

TEST_F(Tuning, DropsWhatSpillsOrDoesNotCompile) {
  Given given({{2}, {1}, {1}});
  given.candidates[1].prepare = [] { return 2; };
  given.candidates[2].prepare = []() -> int { throw_error("no code for it"); };
  const Tuned tuned = tune("work", given.candidates, timings(), pool_, given.options(100));
  EXPECT_EQ(tuned.best, 0u);
  EXPECT_EQ(tuned.rows[1].dropped, "2 spills, usual: 1");
  EXPECT_EQ(tuned.rows[2].dropped, "no code for it");
  EXPECT_THAT(given.runs, ElementsAre(5, 0, 0));
  // Nothing goes without the first.
  given.candidates[0].prepare = []() -> int { throw_error("broken"); };
  EXPECT_THROW(tune("other", given.candidates, timings(), pool_, given.options(100)), Error);
}

TEST_F(Tuning, TimesAreKeptEachByItself) {
  Given given({{2}, {1}});
  tune("work", given.candidates, timings(), pool_, given.options(100));
  Given later({{5}, {5}, {0.5}});
  const Tuned tuned = tune("work", later.candidates, timings(), pool_, later.options(100));
  EXPECT_THAT(later.runs, ElementsAre(0, 0, 5));  // the third is new
  EXPECT_TRUE(tuned.rows[0].is_known);
  EXPECT_EQ(tuned.rows[1].seconds, 1);
  EXPECT_EQ(tuned.best, 2u);
  const std::vector<std::string> names = {"a", "b", "c"};
  EXPECT_EQ(best_known("work", names, timings()), 2u);
  // Of other work, threads or processors nothing is known.
  EXPECT_EQ(best_known("other", names, timings()), 0u);
  const Timings one_thread(folder_ / "timings", CpuTarget::avx2, 1);
  EXPECT_EQ(one_thread.load("work", "a"), std::nullopt);
  const Timings wider(folder_ / "timings", CpuTarget::avx512, 2);
  EXPECT_EQ(wider.load("work", "a"), std::nullopt);
  TuneOptions again = later.options(100);
  again.again = true;
  tune("work", later.candidates, timings(), pool_, again);
  EXPECT_EQ(timings().load("work", "a"), 5);
}

TEST_F(Tuning, DamagedTimesAreIgnored) {
  Given given({{2}, {1}});
  tune("work", given.candidates, timings(), pool_, given.options(100));
  for (const auto& entry : fs::directory_iterator(folder_ / "timings"))
    std::ofstream(entry.path(), std::ios::app) << "x";
  const std::vector<std::string> names = {"a", "b"};
  EXPECT_EQ(best_known("work", names, timings()), 0u);
  tune("work", given.candidates, timings(), pool_, given.options(100));
  EXPECT_EQ(best_known("work", names, timings()), 1u);
  // Whole files that say no time.
  for (const double seconds : {0.0, -1.0, double(INFINITY), double(NAN)}) {
    timings().store("work", "b", seconds);
    EXPECT_EQ(timings().load("work", "b"), std::nullopt) << seconds;
  }
}

// --- groups --------------------------------------------------------------------------------------

// One of each kind, with sizes that no block divides.
const std::vector<std::string_view> kGroups = {
    "graph (%x: f32[70001], %y: f32[70001]) { %0 = tanh(%x) %1 = add(%0, %y) return %1 }",
    R"(graph (%x: f32[301,517], %b: f32[517]) {
      %0 = broadcast(%b) {shape=[301,517], axes=[1]}
      %1 = add(%x, %0)
      return %1
    })",
    "graph (%x: f32[301,130]) { %0 = transpose(%x) {axes=[1,0]} %1 = exp(%0) return %1 }",
    "graph (%x: f32[131,1003]) { %0 = reduce(%x) {kind=sum, axes=[1]} return %0 }",
    "graph (%x: f32[1003,131]) { %0 = reduce(%x) {kind=sum, axes=[0]} return %0 }",
    "graph (%x: f32[131,300], %y: f32[300,130]) { %0 = matmul(%x, %y) %1 = tanh(%0) return %1 }",
    "graph (%x: bf16[131,301], %y: bf16[301,130]) { %0 = matmul(%x, %y) return %0 }",
};

class GroupTuning : public Tuning {
 protected:
  void SetUp() override {
    if (!can_compile_kernels() || detect_cpu_target() < CpuTarget::avx2)
      GTEST_SKIP() << "needs LLVM and AVX2";
  }
  // What a backend with these options makes of the group.
  std::vector<HostArray> run(const Group& group, const CpuBackendOptions& options) {
    const auto backend = make_cpu_backend(target_, pool_, options, make_ref_backend());
    const LaunchCode code = backend->code(group.launch);
    std::vector<HostArray> inputs, outputs;
    std::vector<const void*> from;
    std::vector<void*> to;
    for (const Tensor& t : group.launch.inputs) {
      inputs.emplace_back(t.dtype(), t.shape());
      visit_dtype(t.dtype(), [&](auto tag) {
        using T = typename decltype(tag)::type;
        int64_t i = 0;
        for (T& x : inputs.back().mutable_span<T>())
          x = static_cast<T>(static_cast<float>(i++ * 37 % 101) / 50.0F - 1.0F);
      });
    }
    for (const Tensor& t : group.launch.outputs) outputs.emplace_back(t.dtype(), t.shape());
    for (const HostArray& x : inputs) from.push_back(x.data());
    for (HostArray& x : outputs) to.push_back(x.mutable_data());
    const Mesh mesh;
    ErrorSlot error;
    code.run(
        {group.launch.node(), code.data.get(), from, to, pool_, target_, mesh, error, nullptr});
    return outputs;
  }
  const CpuTarget target_ = detect_cpu_target();
};

void expect_same_bits(const std::vector<HostArray>& a, const std::vector<HostArray>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i)
    EXPECT_EQ(std::memcmp(a[i].data(), b[i].data(), a[i].bytes()), 0);
}

TEST_F(GroupTuning, EveryChoiceThatIsKnownToBeBestIsTakenAndGivesTheSameBits) {
  for (const std::string_view text : kGroups) {
    SCOPED_TRACE(text);
    const Group group = group_of_text(text);
    const GroupBinding binding = make_group_kernel(group.launch).binding;
    const Ints sizes = binding.sizes(group.launch).value();
    const std::string structure = GroupTuner::work_of_structure(group.launch);
    const std::string work = GroupTuner::work_of(structure, sizes);
    const std::vector<GroupChoice> choices = choices_of(binding, sizes, pool_.threads());
    EXPECT_GT(choices.size(), 4u);
    const std::vector<HostArray> want = run(group, {});
    expect_same_bits(run(group, {.odd_tiles = true}), want);
    for (const GroupChoice& choice : choices) {
      SCOPED_TRACE(to_string(choice));
      const TemporaryFolder cache;
      const std::string folder = cache / "cache";
      const Timings kept(timings_folder(folder), target_, pool_.threads());
      kept.store(work, to_string(choices[0]), 2);
      kept.store(work, to_string(choice), 1);
      const GroupTuner tuner(Timings(timings_folder(folder), target_, pool_.threads()), target_,
                             pool_, 0);
      ASSERT_TRUE(tuner.is_used());
      const GroupChoice chosen =
          tuner.choose(group.launch, structure, binding, sizes, [](const GroupChoice&) {
            ADD_FAILURE() << "swept";
            return LaunchCode{};
          });
      EXPECT_EQ(to_string(chosen), to_string(choice));
      expect_same_bits(run(group, {.cache = folder}), want);
    }
  }
}

TEST_F(GroupTuning, ASweepKeepsItsTimes) {
  const Group group = group_of_text(kGroups[0]);
  const std::vector<HostArray> want = run(group, {});
  const GroupTuner unused(Timings(timings_folder(folder_ / "cache"), target_, pool_.threads()),
                          target_, pool_, 0);
  EXPECT_FALSE(unused.is_used());
  expect_same_bits(run(group, {.cache = folder_ / "cache", .tune_seconds = 1e-3}), want);
  const GroupBinding binding = make_group_kernel(group.launch).binding;
  const Ints sizes = binding.sizes(group.launch).value();
  const std::string work = GroupTuner::work_of(GroupTuner::work_of_structure(group.launch), sizes);
  const Timings kept(timings_folder(folder_ / "cache"), target_, pool_.threads());
  EXPECT_TRUE(kept.has_any());
  for (const GroupChoice& choice : choices_of(binding, sizes, pool_.threads()))
    EXPECT_TRUE(kept.load(work, to_string(choice))) << to_string(choice);
}

// Results that are written past the caches, of every kind of group and every type, where whole
// packs are aligned and where not.
TEST_F(GroupTuning, LargeResultsAreTheSame) {
  std::vector<std::string> texts(kGroups.begin(), kGroups.end());
  for (const std::string_view dtype : {"f64", "f16", "bf16", "i64", "i8"})
    texts.push_back(fmt::format(
        "graph (%x: {0}[1033,77], %y: {0}[77]) {{ %0 = broadcast(%y) {{shape=[1033,77], axes=[1]}} "
        "%1 = maximum(%x, %0) return %1 }}",
        dtype));
  texts.emplace_back("graph (%x: i8[70001]) { %0 = abs(%x) return %0 }");
  texts.emplace_back("graph (%x: f32[701], %y: f32[701]) { %0 = less(%x, %y) return %0 }");
  for (const std::string& text : texts) {
    SCOPED_TRACE(text);
    const Group group = group_of_text(text);
    expect_same_bits(run(group, {.stream_bytes = 1}), run(group, {.stream_bytes = UINT64_MAX}));
  }
}

// The instruction that bypasses the caches is in the version that may, and in no other; what a
// kernel reads and writes stays in them.
TEST_F(GroupTuning, OnlyWholeResultsBypassTheCaches) {
  const auto count = [&](tile::Parameter::Kind kind, const KernelVersion& version) {
    const tile::Kernel kernel = tile::build("k", [&](tile::Builder& k) {
      const tile::Buffer x = k.input("x", DType::f32);
      const tile::Buffer y = kind == tile::Parameter::Kind::output ? k.output("y", DType::f32)
                                                                   : k.inout("y", DType::f32);
      const tile::Tile i = k.arange(64);
      k.store(y, i, k.load(x, i) * 2.0);
    });
    const std::string text = kernel_text(kernel, target_, KernelStage::assembly, version);
    int found = 0;
    for (size_t at = text.find("\tvmovnt"); at != std::string::npos;
         at = text.find("\tvmovnt", at + 1))
      ++found;
    return found;
  };
  using Kind = tile::Parameter::Kind;
  EXPECT_GT(count(Kind::output, {.streams = true}), 0);
  EXPECT_EQ(count(Kind::output, {}), 0);
  EXPECT_EQ(count(Kind::inout, {.streams = true}), 0);
}

}  // namespace
}  // namespace cairn
