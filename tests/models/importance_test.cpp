// Importance by running a model over a text, against sums taken from its layers.
#include "cairn/models/importance.h"

#include <gtest/gtest.h>

#include "cairn/models/language_model.h"
#include "cairn/ops/elementwise.h"
#include "cairn/ops/reduce.h"
#include "tests/io/temporary_folder.h"
#include "tests/support/checked_runtime.h"
#include "tests/support/test_data.h"

namespace cairn {
namespace {

TEST(Importance, IsTheMeanSquareOfEachInput) {
  Runtime runtime{test::checked()};
  LanguageModel model = load_language_model(test::golden_path("families/phi3-short")).value();
  std::vector<int32_t> ids;
  for (int32_t i = 0; i < 20; ++i) ids.push_back(i % 7);
  // Windows of 8: four tokens at the end are left out.
  int64_t told = 0;
  const io::ImportanceMatrix matrix = measure_importance(runtime, *model.transformer, ids, 8,
                                                         [&](int64_t tokens) { told = tokens; });
  EXPECT_EQ(told, 16);
  const TransformerConfig& config = model.transformer->config();
  // Phi-3's joined tensors are there once: four in each block, and the head.
  EXPECT_EQ(static_cast<int64_t>(matrix.size()), 4 * config.layers + 1);
  // The head's input is the hidden states.
  std::vector<double> expected(static_cast<size_t>(config.width));
  for (int64_t begin = 0; begin < 16; begin += 8) {
    const Tensor window = Tensor::from<int32_t>(
        std::span<const int32_t>(ids).subspan(static_cast<size_t>(begin), 8), {1, 8});
    Context ctx;
    const Tensor hidden = model.transformer->hidden(ctx, window);
    const HostArray squares = eval(runtime, sum(hidden * hidden, {0, 1})).host();
    for (size_t i = 0; i < expected.size(); ++i)
      expected[i] += squares.at(static_cast<int64_t>(i)) / 16;
  }
  const auto& head = matrix.at(config.tied ? "token_embd.weight" : "output.weight");
  ASSERT_EQ(head.size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i)
    EXPECT_NEAR(static_cast<double>(head[i]), expected[i], 1e-5 * expected[i]);
  EXPECT_THROW((void)measure_importance(runtime, *model.transformer, {}, 8), Error);

  const io::TemporaryFolder folder;
  ASSERT_TRUE(io::write_imatrix(folder / "i.gguf", matrix, {16, 8, "a text"}).ok());
  const auto again = io::read_imatrix(folder / "i.gguf").value();
  ASSERT_EQ(again.size(), matrix.size());
  for (const auto& [name, values] : matrix)
    for (size_t i = 0; i < values.size(); ++i) EXPECT_EQ(again.at(name)[i], values[i]) << name;
}

}  // namespace
}  // namespace cairn
