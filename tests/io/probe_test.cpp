#include "cairn/io/probe.h"

#include <gmock/gmock.h>

#include "cairn/io/gzip.h"
#include "tests/io/golden_values.h"
#include "tests/io/temporary_folder.h"

namespace cairn::io {
namespace {

std::string kind(const std::string& path) {
  const auto probe = probe_file(path);
  if (!probe) return probe.error().what();
  return (probe.value().gzip ? "gzip " : "") + std::string(name(probe.value().kind));
}

TEST(Probe, FilesOfOtherPrograms) {
  EXPECT_EQ(kind(golden_file("every_dtype.safetensors")), "safetensors");
  EXPECT_EQ(kind(golden_file("f4.npy")), "npy");
  EXPECT_EQ(kind(golden_file("stored.npz")), "npz");
  EXPECT_EQ(kind(golden_file("deflated.npz")), "npz");
  EXPECT_EQ(kind(golden_file("gray.jpg")), "jpeg");
  EXPECT_EQ(kind(golden_file("pax.tar")), "tar");
  EXPECT_EQ(kind(golden_file("gnu.tar")), "tar");
}

TEST(Probe, TextsAreToldApart) {
  TemporaryFolder folder;
  const auto text_kind = [&](std::string_view text, const char* file_name = "a") {
    write_bytes(folder / file_name, text);
    return kind(folder / file_name);
  };
  EXPECT_EQ(text_kind(""), "text");
  EXPECT_EQ(text_kind("Once upon a time"), "text");
  EXPECT_EQ(text_kind("{\"a\": 1}"), "json");
  EXPECT_EQ(text_kind("\xef\xbb\xbf\n [ 1, 2]"), "json");
  EXPECT_EQ(text_kind("{\"text\": 1}\n{\"text\": 2}\n"), "json");
  EXPECT_EQ(text_kind("{% for m in messages %}"), "text");
  EXPECT_EQ(text_kind("{{ bos_token }}"), "text");
  EXPECT_EQ(text_kind("[model]\nlayers = 2"), "toml");
  EXPECT_EQ(text_kind("# a comment\n[[a.b]]\n"), "toml");
  EXPECT_EQ(text_kind("\nseed = 3\n"), "toml");
  EXPECT_EQ(text_kind("a text", "x.toml"), "toml");
  EXPECT_EQ(text_kind("[gMASK]<sop>{%- if tools %}"), "text");
  EXPECT_EQ(text_kind("[INST]\n{{ x }}", "chat.jinja"), "text");
  EXPECT_EQ(text_kind("seed == 3\n"), "text");
  EXPECT_EQ(text_kind("[citation needed] says"), "text");
  EXPECT_EQ(text_kind("graph @f(%x: f32[]) -> f32[] {"), "graph");
  EXPECT_EQ(text_kind("// note\n\ngraph @f()"), "graph");
  EXPECT_EQ(text_kind("P5 1 1 255\nx"), "pnm");
  EXPECT_EQ(text_kind("GGUF\x03"), "gguf");
  EXPECT_EQ(text_kind(std::string_view("text\0", 5)), "unknown");
  EXPECT_EQ(text_kind("\xff\xfe t"), "unknown");
  // A character that the end of what is read cuts in two.
  EXPECT_EQ(text_kind(std::string(65535, 'x') + "\u00e9"), "text");
}

TEST(Probe, InsideGzipAndMissing) {
  TemporaryFolder folder;
  const std::string idx("\0\0\x08\1\0\0\0\2ab", 10);
  write_bytes(folder / "a.gz", gzip(std::as_bytes(std::span(idx.data(), idx.size()))));
  EXPECT_EQ(kind(folder / "a.gz"), "gzip idx");
  write_bytes(folder / "b", idx);
  EXPECT_EQ(kind(folder / "b"), "idx");
  write_bytes(folder / "c", idx + "x");
  EXPECT_EQ(kind(folder / "c"), "unknown");
  write_bytes(folder / "d.gz", "\x1f\x8b\x08 damaged");
  EXPECT_THAT(kind(folder / "d.gz"), testing::HasSubstr("cannot read"));
  EXPECT_THAT(kind(folder / "none"), testing::HasSubstr("No such file"));
}

TEST(Probe, TheDataSets) {
  CAIRN_REQUIRE_DATA("checkpoints/stories260K/stories260K.bin");
  const auto data = [](const char* path) { return kind(test::data_path(path)); };
  EXPECT_EQ(data("checkpoints/stories260K/stories260K.bin"), "llama2c");
  EXPECT_EQ(data("checkpoints/stories260K/tinyllamas-stories-260k-f32.gguf"), "gguf");
  EXPECT_EQ(data("checkpoints/mnist-burn/mnist.safetensors"), "safetensors");
  EXPECT_EQ(data("checkpoints/mnist-burn/mnist.pt"), "zip");
  EXPECT_EQ(data("vision/mnist/train-images-idx3-ubyte.gz"), "gzip idx");
  EXPECT_EQ(data("vision/codec/libjpeg-turbo/monkey16.png"), "png");
  EXPECT_EQ(data("vision/codec/libjpeg-turbo/testorig.ppm"), "pnm");
  EXPECT_EQ(data("numerics/onnx-node-tests-v1.22-a.tar.gz"), "gzip tar");
  EXPECT_EQ(data("tokenizers/gpt2/tokenizer.json"), "json");
  EXPECT_EQ(data("text/war-and-peace.txt"), "text");
  EXPECT_EQ(data("text/HumanEval.jsonl.gz"), "gzip json");
  EXPECT_EQ(data("chat-templates/Kimi-K2-Instruct.jinja"), "text");
}

}  // namespace
}  // namespace cairn::io
