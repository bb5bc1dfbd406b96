// cairn inspect.
#include <filesystem>

#include "cairn/io/gzip.h"
#include "cairn/io/idx.h"
#include "cairn/io/image.h"
#include "cairn/io/npy.h"
#include "cairn/io/safetensors.h"
#include "tests/cli/program.h"
#include "tests/support/test_data.h"

namespace cairn::test {
namespace {

namespace fs = std::filesystem;

class InspectTest : public CliTest {
 protected:
  nlohmann::json inspect(const std::string& file) const {
    return run({"inspect", file, "--json"}).json();
  }
};

TEST_F(InspectTest, EveryKind) {
  const std::pair<const char*, const char*> kinds[] = {{"weights.safetensors", "safetensors"},
                                                       {"llama", "model"},
                                                       {"classifier", "model"},
                                                       {"x.npy", "npy"},
                                                       {"train-images-idx3-ubyte.gz", "idx"},
                                                       {"picture.png", "png"},
                                                       {"tokenizer.json", "tokenizer"},
                                                       {"step.graph", "graph"},
                                                       {"shakespeare.toml", "configuration"},
                                                       {"story.txt", "text"},
                                                       {"table.csv", "csv"},
                                                       {"lines.jsonl", "jsonl"},
                                                       {"tokenizer_config.json", "json"}};
  for (const auto& [file, kind] : kinds) {
    SCOPED_TRACE(file);
    const auto json = inspect(file);
    EXPECT_EQ(json["kind"], kind);
    EXPECT_TRUE(json["parameters"].is_number_unsigned());
    EXPECT_TRUE(json["tensors"].is_array());
    EXPECT_TRUE(json["metadata"].is_object());
    EXPECT_TRUE(json["memory"].is_object());
    const Ran text = run({"inspect", file});
    EXPECT_EQ(text.status, 0);
    EXPECT_NE(text.out.find(file), std::string::npos);
    const auto verified = run({"inspect", file, "--verify", "--json"}).json();
    EXPECT_EQ(verified["verified"], true);
    EXPECT_EQ(run({"inspect", file, "--verify"}).status, 0);
  }
}

TEST_F(InspectTest, TensorsOfSafetensors) {
  const auto json = inspect("weights.safetensors");
  EXPECT_EQ(json["parameters"], 11);
  EXPECT_EQ(json["metadata"], nlohmann::json({{"made_by", "a test"}}));
  const auto named = [&](const std::string& name) {
    for (const auto& tensor : json["tensors"])
      if (tensor["name"] == name) return tensor;
    return nlohmann::json();
  };
  EXPECT_EQ(named("w"),
            nlohmann::json({{"name", "w"}, {"dtype", "f32"}, {"shape", {2, 3}}, {"bytes", 24}}));
  EXPECT_EQ(named("h"),
            nlohmann::json({{"name", "h"}, {"dtype", "bf16"}, {"shape", {4}}, {"bytes", 8}}));
  EXPECT_EQ(named("n")["shape"], nlohmann::json::array());
  EXPECT_EQ(json["memory"]["tensor_bytes"], 40);
}

TEST_F(InspectTest, AFolderIsAModel) {
  const auto json = inspect("llama");
  EXPECT_EQ(json["family"], "llama");
  EXPECT_EQ(json["metadata"]["runs"], true);
  // Embedding 257 x 16 (tied), two norms and the last; q 16 x 16, k and v 16 x 8, o 16 x 16, three
  // of 16 x 32.
  EXPECT_EQ(json["parameters"], 257 * 16 + 3 * 16 + 2 * 16 * 16 + 2 * 16 * 8 + 3 * 16 * 32);
  // Keys and values of one key-value head of 8 in one layer, f32.
  EXPECT_EQ(json["memory"]["kv_cache_bytes_per_token"], 2 * 4 * 8);
  // A family that does not run is still shown.
  std::string config = read("llama/config.json");
  config.replace(config.find("\"llama\""), 7, "\"mamba\"");
  write("llama/config.json", config);
  const auto other = inspect("llama");
  EXPECT_EQ(other["family"], "mamba");
  EXPECT_EQ(other["metadata"]["runs"], false);
  EXPECT_EQ(other["parameters"], json["parameters"]);
}

TEST_F(InspectTest, AClassifierRuns) {
  const auto json = inspect("classifier");
  EXPECT_EQ(json["kind"], "model");
  EXPECT_EQ(json["family"], "mlp");
  EXPECT_EQ(json["metadata"]["runs"], true) << json["metadata"];
  EXPECT_EQ(json["parameters"], 12);
  // One whose weights are not those that it describes does not run, and is shown.
  std::string config = read("classifier/config.json");
  config.replace(config.find("[1, 1, 3]"), 9, "[1, 1, 4]");
  write("classifier/config.json", config);
  const auto other = inspect("classifier");
  EXPECT_EQ(other["family"], "mlp");
  EXPECT_EQ(other["metadata"]["runs"], false);
  EXPECT_NE(other["metadata"]["why_not"].get<std::string>().find("dense.0.weight"),
            std::string::npos);
}

TEST_F(InspectTest, Llama2c) {
  CAIRN_REQUIRE_DATA("checkpoints/stories260K/stories260K.bin");
  const auto json = inspect(data_path("checkpoints/stories260K/stories260K.bin"));
  EXPECT_EQ(json["kind"], "llama2c");
  EXPECT_EQ(json["family"], "llama");
  EXPECT_EQ(json["metadata"]["layers"], 5);
  EXPECT_TRUE(fails(run({"inspect", data_path("checkpoints/mnist-burn/mnist.pt")}), 1,
                    "zip archive, as PyTorch writes"));
  EXPECT_TRUE(fails(run({"inspect", data_path("checkpoints/resnet-cifar10/resnet20-12fca82f.th")}),
                    1, "pickle"));
}

TEST_F(InspectTest, Gguf) {
  const std::string every = test::golden_path("files/every_kind.gguf").string();
  const auto json = inspect(every);
  EXPECT_EQ(json["kind"], "gguf");
  EXPECT_EQ(json["family"], "test");
  EXPECT_EQ(json["metadata"]["one.i32"], -2000000000);
  EXPECT_EQ(json["metadata"]["one.u64"], (uint64_t{1} << 63) + 1);
  EXPECT_EQ(json["metadata"]["some.text"], (nlohmann::json{"a", "", "b\u00e9c"}));
  EXPECT_EQ(json["metadata"]["some.bool"], (nlohmann::json{true, false, true}));
  EXPECT_EQ(json["memory"]["bytes_by_type"]["q4_k"], 288);
  EXPECT_EQ(json["tensors"].back()["dtype"], "iq2_xxs");
  EXPECT_EQ(json["tensors"].back()["shape"], (nlohmann::json{2, 256}));
  const auto verified = run({"inspect", every, "--verify", "--json"}).json();
  EXPECT_EQ(verified["verified"], true);
  EXPECT_EQ(verified["not_decoded"], nlohmann::json{"block.IQ2_XXS (iq2_xxs)"});

  ASSERT_EQ(run({"inspect", every, "--tensor", "block.Q4_K", "--out", "q.npy"}).status, 0);
  const HostArray q = io::read_npy(path("q.npy")).value();
  EXPECT_EQ(q.shape(), Shape({2, 256}));
  EXPECT_EQ(q.dtype(), DType::f32);
  EXPECT_TRUE(fails(run({"inspect", every, "--tensor", "block.IQ2_XXS", "--out", "q.npy"}), 1,
                    "element type IQ2_XXS"));
  const auto parts = inspect(test::golden_path("files/split-00002-of-00002.gguf").string());
  EXPECT_EQ(parts["metadata"]["gguf.parts"], 2);
  EXPECT_EQ(parts["tensors"].size(), 3u);

  CAIRN_REQUIRE_DATA("checkpoints/stories260K/tinyllamas-stories-260k-f32.gguf");
  const auto stories =
      inspect(data_path("checkpoints/stories260K/tinyllamas-stories-260k-f32.gguf"));
  EXPECT_EQ(stories["family"], "llama");
  EXPECT_EQ(stories["metadata"]["tokenizer.ggml.tokens"]["count"], 512);
  EXPECT_EQ(stories["memory"]["kv_cache_bytes_per_token"], 4 * 5 * 4 * (8 + 8));
}

TEST_F(InspectTest, OneTensorAsF32) {
  ASSERT_EQ(run({"inspect", "weights.safetensors", "--tensor", "h", "--out", "h.npy"}).status, 0);
  const HostArray h = io::read_npy(path("h.npy")).value();
  ASSERT_EQ(h.dtype(), DType::f32);
  ASSERT_EQ(h.shape(), Shape({4}));
  for (int i = 0; i < 4; ++i) EXPECT_EQ(h.at(i), 0.5 * i);
  const auto json =
      run({"inspect", "weights.safetensors", "--tensor", "n", "--out", "n.npy", "--json"}).json();
  EXPECT_EQ(json["dtype"], "f32");
  EXPECT_EQ(io::read_npy(path("n.npy")).value().at(0), 7);
  ASSERT_EQ(
      run({"inspect", "train-images-idx3-ubyte.gz", "--tensor", "array", "--out", "p.npy"}).status,
      0);
  EXPECT_EQ(io::read_npy(path("p.npy")).value().at(0), 200);

  EXPECT_TRUE(fails(run({"inspect", "weights.safetensors", "--tensor", "ww", "--out", "t.npy"}), 1,
                    "did you mean 'w'?"));
  EXPECT_TRUE(
      fails(run({"inspect", "story.txt", "--tensor", "w", "--out", "t.npy"}), 1, "it holds none"));
  EXPECT_TRUE(
      fails(run({"inspect", "weights.safetensors", "--tensor", "w"}), 2, "belong together"));
  EXPECT_TRUE(fails(run({"inspect", "weights.safetensors", "--tensor", "w", "--out", "no/t.npy"}),
                    1, "no/t.npy"));
  EXPECT_FALSE(fs::exists(path("t.npy")));
}

// A byte less, or one that is wrong where there is something to compare with: status 1, never a
// signal.
TEST_F(InspectTest, DamageIsFound) {
  for (const char* file : {"weights.safetensors", "x.npy", "train-images-idx3-ubyte.gz",
                           "picture.png", "step.graph", "tokenizer.json", "shakespeare.toml"}) {
    SCOPED_TRACE(file);
    const std::string whole = read(file);
    fs::create_directory(path("cut"));
    const std::string cut = std::string("cut/") + file;
    for (const size_t size : {whole.size() - 1, whole.size() / 2}) {
      const bool newline_only = whole.ends_with("}\n") || whole.ends_with("2\n");
      if (newline_only && size == whole.size() - 1) continue;
      write(cut, whole.substr(0, size));
      const Ran ran = run({"inspect", cut, "--verify"});
      EXPECT_TRUE(ran.status == 1 || (std::string(file) == "shakespeare.toml" && ran.status == 0))
          << ran.status << ran.out << ran.err;
    }
  }
  for (const char* file : {"train-images-idx3-ubyte.gz", "picture.png"}) {
    std::string bytes = read(file);
    bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 0x10);
    write("damaged", bytes);
    EXPECT_TRUE(fails(run({"inspect", "damaged", "--verify"}), 1, "damaged")) << file;
  }
  EXPECT_TRUE(fails(run({"inspect", "nothing"}), 1, "nothing"));
  fs::create_directory(path("empty"));
  EXPECT_TRUE(fails(run({"inspect", "empty"}), 1, "no model"));
  write("noise", std::string("\x01\x02\xff\xfe\x00\x07", 6));
  EXPECT_TRUE(fails(run({"inspect", "noise"}), 1, "of no kind that cairn reads"));
}

TEST_F(InspectTest, NumbersThatAreNoNumbersAreCounted) {
  const std::vector<float> values = {1, std::nanf(""), INFINITY, 2};
  io::write_npy(path("nan.npy"), HostArray::from<float>(values, {4})).value();
  EXPECT_EQ(run({"inspect", "nan.npy", "--verify", "--json"}).json()["not_finite"], 2);
}

TEST_F(InspectTest, TypesThatCairnLacksAreShown) {
  const std::string header = R"({"t":{"dtype":"U64","shape":[2],"data_offsets":[0,16]}})";
  std::string file(8, '\0');
  file[0] = static_cast<char>(header.size());
  write("u64.safetensors", file + header + std::string(16, '\1'));
  EXPECT_EQ(inspect("u64.safetensors")["tensors"][0]["dtype"], "u64");
  EXPECT_EQ(run({"inspect", "u64.safetensors", "--verify", "--json"}).json()["not_decoded"].size(),
            1u);
  EXPECT_TRUE(
      fails(run({"inspect", "u64.safetensors", "--tensor", "t", "--out", "t.npy"}), 1, "U64"));
}

// 400 MB of zeros in 400 kB: verified without holding them.
TEST_F(InspectTest, VerifyingTakesLittleMemory) {
  constexpr uint32_t kPiece = 16 << 20, kPieces = 25;
  const std::string zeros(kPiece, '\0');
  const std::string piece = io::gzip(std::as_bytes(std::span(zeros.data(), zeros.size())));
  constexpr uint32_t kTotal = kPiece * kPieces;
  const unsigned char header[] = {
      0, 0, 8, 1, kTotal >> 24, (kTotal >> 16) & 255, (kTotal >> 8) & 255, kTotal & 255};
  std::string file = io::gzip(std::as_bytes(std::span(header)));
  for (uint32_t i = 0; i < kPieces; ++i) file += piece;
  write("zeros-idx1-ubyte.gz", file);
  const Ran ran = run({"inspect", "zeros-idx1-ubyte.gz", "--verify", "--json"});
  EXPECT_EQ(ran.json()["bytes"], kTotal);
  // 30 MB; AddressSanitizer keeps 256 MB of what was freed.
  EXPECT_LT(ran.max_resident_bytes, static_cast<int64_t>(kTotal - kTotal / 8));
  // One byte more than the header says.
  const char one[] = {0};
  write("more-idx1-ubyte.gz", file + io::gzip(std::as_bytes(std::span(one))));
  EXPECT_TRUE(
      fails(run({"inspect", "more-idx1-ubyte.gz", "--verify"}), 1, "damaged or was cut off"));
}

TEST_F(InspectTest, ActivationsOfAClassifier) {
  const auto json = run({"inspect", "classifier", "--activations", "dense.0", "--input",
                         "train-images-idx3-ubyte.gz", "--out", "a.png", "--json"})
                        .json();
  EXPECT_EQ(json["shape"], nlohmann::json({1, 3}));
  EXPECT_TRUE(io::read_image(path("a.png")).ok());
  EXPECT_EQ(run({"inspect", "classifier", "--activations", "dense.0", "--input",
                 "train-images-idx3-ubyte.gz"})
                .status,
            0);
  EXPECT_TRUE(fails(run({"inspect", "classifier", "--activations", "dense.1", "--input",
                         "train-images-idx3-ubyte.gz"}),
                    1, "did you mean 'dense.0'?"));
  EXPECT_TRUE(
      fails(run({"inspect", "classifier", "--activations", "dense.0", "--input", "picture.png"}), 1,
            "the model takes [1,1,3]"));
  EXPECT_TRUE(
      fails(run({"inspect", "classifier", "--activations", "dense.0"}), 2, "belong together"));
  EXPECT_TRUE(fails(run({"inspect", "llama", "--activations", "x", "--input", "picture.png"}), 1,
                    "no image classifier"));
}

// Pictures of three channels, [N, C, H, W]: the first one, as a picture file of the same gives it.
TEST_F(InspectTest, ActivationsOfAColourPicture) {
  fs::create_directory(path("colour"));
  write("colour/config.json",
        R"({"model_type": "cairn_mlp", "image": [3, 1, 2], "classes": 6, "hidden": [],)"
        R"( "channels": [], "mean": 0.0, "deviation": 1.0})");
  HostArray identity(DType::f32, {6, 6});
  const auto weight = identity.mutable_span<float>();
  for (size_t i = 0; i < 36; ++i) weight[i] = i % 7 == 0 ? 1.0f : 0.0f;
  const std::vector<io::NamedArray> dense = {
      {"dense.0.weight", identity},
      {"dense.0.bias", HostArray::from<float>(std::vector<float>(6, 0.0f), {6})}};
  io::write_safetensors(path("colour/model.safetensors"), dense).value();
  // Red 0 and 10, green 20 and 30, blue 40 and 50; then another picture.
  const std::vector<uint8_t> planes = {0, 10, 20, 30, 40, 50, 9, 9, 9, 9, 9, 9};
  io::write_idx(path("colour.idx"), HostArray::from<uint8_t>(planes, {2, 3, 1, 2})).value();
  const std::vector<uint8_t> pixels = {0, 20, 40, 10, 30, 50};
  io::write_png(path("colour.png"), HostArray::from<uint8_t>(pixels, {1, 2, 3})).value();
  const auto show = [&](const char* input, const char* out) {
    return run({"inspect", "colour", "--activations", "dense.0", "--input", input, "--out", out});
  };
  const Ran idx = show("colour.idx", "idx.png");
  EXPECT_EQ(idx.status, 0) << idx.err;
  EXPECT_EQ(show("colour.png", "png.png").status, 0);
  EXPECT_EQ(read("idx.png"), read("png.png"));
  io::write_idx(path("gray.idx"), HostArray::from<uint8_t>(planes, {6, 1, 2})).value();
  EXPECT_TRUE(fails(show("gray.idx", "x.png"), 1, "the model takes [3,1,2]"));
  io::write_idx(path("flat.idx"), HostArray::from<uint8_t>(planes, {6, 2})).value();
  EXPECT_TRUE(fails(show("flat.idx", "x.png"), 1, "holds no pictures: u8[6,2]"));
}

}  // namespace
}  // namespace cairn::test
