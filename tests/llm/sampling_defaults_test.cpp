// What files say of sampling: generation_config.json and keys of GGUF, one as the other.
#include "cairn/models/sampling_defaults.h"

#include <gtest/gtest.h>

#include "cairn/io/gguf.h"
#include "tests/io/temporary_folder.h"

namespace cairn {
namespace {

SamplingDefaults through_gguf(const SamplingDefaults& defaults) {
  const io::TemporaryFolder folder;
  io::write_gguf(folder / "x.gguf", to_gguf_metadata(defaults), {}).value();
  return gguf_sampling_defaults(io::GgufFile::open(folder / "x.gguf").value());
}

TEST(SamplingDefaults, OfGenerationConfig) {
  const SamplingDefaults d = parse_sampling_defaults(
      R"({"do_sample": true, "temperature": 0.6, "top_k": 20, "top_p": 0.95, "min_p": 0.05,
          "typical_p": 0.9, "repetition_penalty": 1.05, "eos_token_id": [1, 2]})");
  EXPECT_EQ(d.temperature, 0.6);
  EXPECT_EQ(d.top_k, 20);
  EXPECT_EQ(d.top_p, 0.95);
  EXPECT_EQ(d.min_p, 0.05);
  EXPECT_EQ(d.typical_p, 0.9);
  EXPECT_EQ(d.repeat_penalty, 1.05);
  EXPECT_EQ(d.repeat_last_n, -1);
  EXPECT_EQ(parse_sampling_defaults(R"({"do_sample": false, "temperature": 0.7})").temperature, 0);
  EXPECT_EQ(parse_sampling_defaults(R"({"top_k": -1})").top_k, 0);
  for (const char* nothing :
       {"", "[", "3", "{}", R"({"top_k": null, "top_p": "0.9", "temperature": [1], "min_p": true})",
        R"({"do_sample": true})", R"({"top_k": 1e300})"})
    EXPECT_EQ(parse_sampling_defaults(nothing), SamplingDefaults{}) << nothing;
}

TEST(SamplingDefaults, AreKeptInBothFormats) {
  const SamplingDefaults all{.temperature = 0.6,
                             .top_k = 20,
                             .top_p = 0.95,
                             .min_p = 0.05,
                             .repeat_penalty = 1.05,
                             .repeat_last_n = -1};
  EXPECT_EQ(through_gguf(all), all);
  EXPECT_EQ(parse_sampling_defaults(with_sampling_defaults(R"({"bos_token_id": 1})", all)), all);
  const SamplingDefaults greedy{.temperature = 0};
  EXPECT_EQ(through_gguf(greedy), greedy);
  const std::string config = with_sampling_defaults("{}", greedy);
  EXPECT_EQ(parse_sampling_defaults(config), greedy);
  EXPECT_EQ(config.find("temperature"), std::string::npos) << config;  // transformers refuses 0
  EXPECT_EQ(through_gguf({}), SamplingDefaults{});
  EXPECT_EQ(with_sampling_defaults(R"({"bos_token_id": 1})", {}), "{\n  \"bos_token_id\": 1\n}\n");
}

}  // namespace
}  // namespace cairn
