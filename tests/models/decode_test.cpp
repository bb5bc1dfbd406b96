// One token for each of many sequences at once: what batches of other sizes cost, and that a
// sequence does not see who is beside it.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <numeric>

#include "cairn/models/transformer.h"
#include "cairn/ops/movement.h"
#include "cairn/runtime/runtime.h"
#include "tests/io/temporary_folder.h"

namespace cairn {
namespace {

constexpr int64_t kCapacity = 32, kVocabulary = 20;

class Decode : public testing::Test {
 protected:
  Decode() {
    setenv("CAIRN_CACHE", (folder / "").c_str(), 1);
    runtime = std::make_unique<Runtime>(RuntimeOptions{.threads = 1});
    TransformerConfig c;
    c.vocabulary = kVocabulary;
    c.context = 64;
    c.layers = 2;
    c.heads = 4;
    c.kv_heads = 2;
    c.width = 32;
    c.head_width = 8;
    c.hidden = 48;
    c.initial_deviation = 0.3;
    model = std::make_unique<Transformer>(c);
    initialize(*runtime, *model, 3);
  }
  void TearDown() override { unsetenv("CAIRN_CACHE"); }

  int64_t kernels_on_disk() const {
    const std::filesystem::path kernels = folder / "kernels";
    if (!exists(kernels)) return 0;
    const std::filesystem::directory_iterator files(kernels);
    return std::distance(begin(files), end(files));
  }
  // Logits of the third of three tokens; those of row b are 7 b, 7 b + 1, 7 b + 2.
  std::vector<float> third_token(int64_t batch) {
    std::vector<int32_t> blocks(static_cast<size_t>(batch));
    std::iota(blocks.begin(), blocks.end(), 0);
    const Tensor table = Tensor::from<int32_t>(std::span<const int32_t>(blocks), {batch, 1});
    std::vector<Tensor> args = {Tensor::from<int32_t>({0}, {}), table};
    for (const KvCache& c : model->empty_cache(batch, kCapacity))
      args.insert(args.end(), {c.keys, c.values});
    args = eval(*runtime, args);
    std::vector<Tensor> results;
    for (int32_t at = 0; at < 3; ++at) {
      std::vector<int32_t> ids;
      for (int32_t b = 0; b < batch; ++b) ids.push_back((7 * b + at) % kVocabulary);
      args.push_back(Tensor::from<int32_t>(std::span<const int32_t>(ids), {batch, 1}));
      results = step(*runtime, args);
      args = {Tensor::from<int32_t>({at + 1}, {}), table};
      args.insert(args.end(), results.begin() + 1, results.end());
    }
    return results[0].to_vector<float>();
  }

  const io::TemporaryFolder folder;
  std::unique_ptr<Runtime> runtime;
  std::unique_ptr<Transformer> model;
  // (length, block table, cache..., ids) → logits, cache...
  Function step{[this](std::span<const Tensor> args) {
    std::vector<KvCache> caches;
    for (size_t i = 2; i + 2 < args.size(); i += 2)
      caches.push_back(
          {.keys = args[i], .values = args[i + 1], .block_table = args[1], .length = args[0]});
    Context ctx;
    const Tensor h = model->hidden(ctx, args.back(), &caches);
    std::vector<Tensor> out = {model->logits(ctx, h)};
    for (const KvCache& c : caches) out.insert(out.end(), {c.keys, c.values});
    return out;
  }};
};

// A schedule for each of the multiples that a structure knows (1, 2, 4, 16, 64) of the batch and of
// the rows and numbers that are written, 2 and 16 for a token: eight of the step, as many of the
// empty caches and the weights. Products have a kernel for each block of rows that suits a number
// of them.
TEST_F(Decode, BatchesOfOneTo64) {
  const std::vector<float> first = third_token(1);
  for (int64_t batch = 2; batch <= 64; ++batch) {
    const std::vector<float> rows = third_token(batch);
    ASSERT_TRUE(std::equal(first.begin(), first.end(), rows.begin())) << batch;
  }
  EXPECT_LE(runtime->stats().schedules_made, 16);
  EXPECT_LE(kernels_on_disk(), 90);
  if (runtime->backend().name() == "cpu") {
    EXPECT_GE(kernels_on_disk(), 20);
  }
}

}  // namespace
}  // namespace cairn
