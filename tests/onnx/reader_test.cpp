// The reader of ONNX files: every form of a tensor, and bytes that are cut off or lie.
#include <gtest/gtest.h>

#include "cairn/io/tar.h"
#include "onnx.pb.h"
#include "tests/onnx/cases.h"
#include "tests/support/test_data.h"

namespace cairn::test {

namespace {

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

OnnxValue read_back(const onnx_file::TensorProto& tensor) {
  return read_onnx_tensor(bytes_of(tensor.SerializeAsString()));
}

onnx_file::TensorProto tensor_of(int data_type, std::initializer_list<int64_t> sizes) {
  onnx_file::TensorProto tensor;
  tensor.set_data_type(data_type);
  for (const int64_t size : sizes) tensor.add_dims(size);
  return tensor;
}

// A model with a node of each kind of attribute that the table reads.
onnx_file::ModelProto small_model() {
  onnx_file::ModelProto model;
  model.set_ir_version(8);
  model.add_opset_import()->set_version(13);
  onnx_file::GraphProto& graph = *model.mutable_graph();
  graph.set_name("g");
  *graph.add_initializer() = tensor_of(1, {2});
  graph.mutable_initializer(0)->set_name("w");
  graph.mutable_initializer(0)->add_float_data(1.5f);
  graph.mutable_initializer(0)->add_float_data(-2);
  onnx_file::NodeProto& node = *graph.add_node();
  node.set_op_type("Mul");
  node.add_input("x");
  node.add_input("w");
  node.add_output("y");
  onnx_file::AttributeProto& ints = *node.add_attribute();
  ints.set_name("axes");
  ints.set_type(7);
  ints.add_ints(1);
  ints.add_ints(-1);
  onnx_file::AttributeProto& body = *node.add_attribute();
  body.set_name("body");
  body.set_type(5);
  body.mutable_g()->add_node()->set_op_type("Identity");
  for (const char* name : {"x", "w"}) {
    graph.add_input()->set_name(name);
    graph.mutable_input(graph.input_size() - 1)->mutable_type()->mutable_tensor_type();
  }
  graph.add_output()->set_name("y");
  return model;
}

}  // namespace

TEST(OnnxReader, ReadsTypedLists) {
  auto floats = tensor_of(1, {2, 1});
  floats.add_float_data(0.5f);
  floats.add_float_data(-3);
  const HostArray f = read_back(floats).get();
  EXPECT_EQ(f.dtype(), DType::f32);
  EXPECT_EQ(f.shape(), Shape({2, 1}));
  EXPECT_EQ(f.at(0), 0.5);
  EXPECT_EQ(f.at(1), -3);

  auto halves = tensor_of(10, {1});  // as its bits: 0x3e00 is 1.5
  halves.add_int32_data(0x3e00);
  EXPECT_EQ(read_back(halves).get().at(0), 1.5);

  auto bytes = tensor_of(3, {2});
  bytes.add_int32_data(-128);
  bytes.add_int32_data(127);
  EXPECT_EQ(read_back(bytes).get().at(0), -128);

  auto bools = tensor_of(9, {2});
  bools.add_int32_data(1);
  bools.add_int32_data(0);
  EXPECT_EQ(read_back(bools).get().at(0), 1);

  auto words = tensor_of(12, {});
  words.add_uint64_data(4294967295u);
  EXPECT_EQ(read_back(words).get().at(0), 4294967295.0);

  auto longs = tensor_of(7, {1});
  longs.add_int64_data(-5);
  EXPECT_EQ(read_back(longs).get().at(0), -5);

  auto doubles = tensor_of(11, {1});
  doubles.add_double_data(0.1);
  EXPECT_EQ(read_back(doubles).get().at(0), 0.1);
}

TEST(OnnxReader, ReadsModels) {
  const OnnxModel model = read_onnx_model(bytes_of(small_model().SerializeAsString()));
  EXPECT_EQ(model.opset, 13);
  ASSERT_EQ(model.graph.inputs.size(), 1u);  // "w" is an initializer
  EXPECT_EQ(model.graph.inputs[0].name, "x");
  EXPECT_TRUE(model.graph.inputs[0].is_tensor);
  EXPECT_FALSE(model.graph.outputs[0].is_tensor);
  EXPECT_EQ(model.graph.initializers.at("w").get().at(1), -2);
  const OnnxNode& node = model.graph.nodes.at(0);
  EXPECT_EQ(node.op, "Mul");
  EXPECT_EQ(std::get<std::vector<int64_t>>(node.attributes.at("axes")),
            (std::vector<int64_t>{1, -1}));
  EXPECT_EQ(std::get<std::shared_ptr<const OnnxGraph>>(node.attributes.at("body"))->nodes[0].op,
            "Identity");
}

TEST(OnnxReader, KeepsTheReasonForATypeThatCairnLacks) {
  auto shorts = tensor_of(4, {1});
  shorts.add_int32_data(7);
  const OnnxValue value = read_back(shorts);
  EXPECT_EQ(value.missing, "cairn has no uint16");
  EXPECT_THROW(value.get(), Unsupported);
  EXPECT_THROW(dtype_of_onnx(8), Unsupported);
  EXPECT_THROW(dtype_of_onnx(0), Error);
  EXPECT_THROW(dtype_of_onnx(1000), Error);
}

TEST(OnnxReader, RefusesTensorsThatLie) {
  auto few = tensor_of(1, {3});
  few.add_float_data(1);
  EXPECT_THROW(read_back(few), Error);

  auto raw = tensor_of(1, {2});
  raw.set_raw_data("12345");
  EXPECT_THROW(read_back(raw), Error);

  auto negative = tensor_of(1, {-1});
  EXPECT_THROW(read_back(negative), Error);

  // As many elements as 64 bits count to 0, and more memory than there is.
  EXPECT_THROW(read_back(tensor_of(1, {int64_t{1} << 32, int64_t{1} << 32})), Error);
  EXPECT_THROW(read_back(tensor_of(1, {int64_t{1} << 45})), Error);

  auto bools = tensor_of(9, {1});
  bools.set_raw_data("\x02");
  EXPECT_THROW(read_back(bools), Error);

  auto elsewhere = tensor_of(1, {1});
  elsewhere.set_data_location(1);
  EXPECT_THROW(read_back(elsewhere), Error);

  EXPECT_THROW(read_onnx_model({}), Error);
}

// Every way to cut a tensor off, and every byte of a model changed or what follows it lost: an
// error or, where the rest still is a model, that model.
TEST(OnnxReader, SurvivesCutAndChangedBytes) {
  auto tensor = tensor_of(1, {2, 2});
  tensor.set_name("x");
  tensor.set_raw_data(std::string(16, '\x01'));
  const std::string whole = tensor.SerializeAsString();
  EXPECT_NO_THROW(read_onnx_tensor(bytes_of(whole)));
  for (size_t size = 0; size < whole.size(); ++size)
    EXPECT_THROW(read_onnx_tensor(bytes_of(whole.substr(0, size))), Error) << size;

  const std::string model = small_model().SerializeAsString();
  int refused = 0;
  const auto read = [&](const std::string& bytes) {
    try {
      read_onnx_model(bytes_of(bytes));
    } catch (const Error&) {
      ++refused;
    }
  };
  for (size_t size = 0; size < model.size(); ++size) read(model.substr(0, size));
  EXPECT_GT(refused, static_cast<int>(model.size() / 2));
  for (size_t i = 0; i < model.size(); ++i)
    for (int bit = 0; bit < 8; ++bit) {
      std::string changed = model;
      changed[i] = static_cast<char>(changed[i] ^ (1 << bit));
      read(changed);
    }
  EXPECT_GT(refused, static_cast<int>(model.size()));
}

// The files of the archive, cut off at 16 places each. A tensor's values come last, so it is
// refused wherever it is cut, unless it has none.
TEST(OnnxReader, RefusesFilesOfTheArchiveThatAreCutOff) {
  CAIRN_REQUIRE_DATA(kOnnxArchive);
  const io::TarFile tar = io::TarFile::open(data_path(kOnnxArchive).string()).value();
  int cut = 0, refused = 0;
  for (const io::TarEntry& entry : tar.entries()) {
    const bool is_model = entry.name.ends_with(".onnx");
    const std::span<const std::byte> bytes = tar.bytes(entry).bytes();
    for (size_t i = 0; i < 16; ++i, ++cut) {
      // A copy of its own, whose end the sanitizer watches.
      const std::vector<std::byte> part(
          bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(bytes.size() * i / 16));
      try {
        if (is_model)
          read_onnx_model(part);
        else
          read_onnx_tensor(part);
      } catch (const Error&) {
        ++refused;
      }
    }
  }
  EXPECT_GT(refused, cut * 9 / 10);
}

// Bodies inside of bodies: protobuf stops at a depth of 100, long before the stack ends.
TEST(OnnxReader, RefusesEndlessNesting) {
  onnx_file::ModelProto model;
  onnx_file::GraphProto* graph = model.mutable_graph();
  for (int i = 0; i < 1000; ++i) {
    onnx_file::AttributeProto& body = *graph->add_node()->add_attribute();
    body.set_type(5);
    graph = body.mutable_g();
  }
  EXPECT_THROW(read_onnx_model(bytes_of(model.SerializeAsString())), Error);
}

}  // namespace cairn::test
