// to_string against NumPy's own text (tests/golden/ops/printing.json).
#include "cairn/ops/printing.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "cairn/graph/scalar.h"
#include "cairn/ops/elementwise.h"
#include "tests/support/test_data.h"

namespace cairn {
namespace {

using nlohmann::json;

Tensor values_of(const json& c) {
  const DType dtype = *parse_dtype(c["dtype"].get<std::string>());
  Shape shape;
  for (const auto& size : c["shape"]) shape.push_back(size.get<int64_t>());
  HostArray array(dtype, shape);
  visit_dtype(dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const auto out = array.mutable_span<T>();
    for (size_t i = 0; i < out.size(); ++i) {
      if (!c.contains("values")) {
        out[i] = cast_element<T>(is_float(dtype) ? static_cast<float>(static_cast<double>(i) / 7)
                                                 : static_cast<double>(i));
      } else if (is_float(dtype)) {
        out[i] = cast_element<T>(std::stod(c["values"][i].get<std::string>()));
      } else {
        out[i] =
            cast_element<T>(static_cast<int64_t>(std::stoll(c["values"][i].get<std::string>())));
      }
    }
  });
  return Tensor(array);
}

TEST(Printing, EqualsNumPy) {
  std::ifstream file(test::golden_path("ops/printing.json"));
  const json golden = json::parse(file);
  int count = 0;
  for (const json& c : golden["cases"]) {
    EXPECT_EQ(to_string(values_of(c)), c["text"].get<std::string>())
        << c["dtype"] << " " << c["shape"];
    ++count;
  }
  EXPECT_GT(count, 150);
}

TEST(Printing, Streams) {
  std::ostringstream out;
  out << Tensor::from<float>({1, 2.5}, {2});
  EXPECT_EQ(out.str(), "[1.  2.5]");
}

// The shortest digits that each type reads back: 0.1 in bf16 is 0.10009765625, in f8e4m3 0.1015625.
TEST(Printing, SmallFloats) {
  EXPECT_EQ(to_string(Tensor::from<BFloat16>({BFloat16(0.1f), BFloat16(-3.0f)}, {2})),
            "[ 0.1 -3. ]");
  EXPECT_EQ(to_string(Tensor::from<Float8E4M3>({Float8E4M3(0.1f), Float8E4M3(448.0f)}, {2})),
            "[1.0e-01 4.5e+02]");
}

TEST(Printing, UnevaluatedTensorNamesEval) {
  const Tensor x = Tensor::from<float>({1, 2}, {2}) + 1.0;
  try {
    to_string(x);
    FAIL();
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("eval(runtime"), std::string::npos) << e.what();
  }
}

}  // namespace
}  // namespace cairn
