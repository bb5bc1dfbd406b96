// Nothing is left out of the table of operation cases: a primitive or a public function without a
// case fails here.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>

#include "cairn/graph/op.h"
#include "tests/ops/op_cases.h"

namespace cairn::test {
namespace {

std::string read(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

TEST(Coverage, EveryPrimitiveHasACase) {
  std::set<Op> covered{Op::input, Op::leaf};  // the operands of all cases
  for (const Case& c : all_cases())
    if (c.primitive) covered.insert(*c.primitive);
  for (int i = 0; i < kOpCount; ++i)
    EXPECT_TRUE(covered.count(static_cast<Op>(i))) << name(static_cast<Op>(i));
}

// Public functions whose golden cases have another name, and those that have tests of their own.
const std::map<std::string, std::string> kOtherNames = {{"index_set", "index_update"},
                                                        {"index_add", "index_update"},
                                                        {"index_multiply", "index_update"},
                                                        {"index_max", "index_update"},
                                                        {"index_min", "index_update"},
                                                        {"put_along_axis", "scatter_along_axis"},
                                                        {"split_sizes", "split"},
                                                        {"diagonal", "diag"},
                                                        {"trace_of", "trace"},
                                                        {"global_avg_pool", "adaptive_avg_pool"},
                                                        {"tiled", "tile"},
                                                        {"shift", "permute"}};
const std::map<std::string, std::string> kElsewhere = {
    {"random_key", "random_test.cpp"},       {"fold_in", "random_test.cpp"},
    {"fold_in_name", "random_test.cpp"},     {"split_key", "random_test.cpp"},
    {"uniform", "random_test.cpp"},          {"normal", "random_test.cpp"},
    {"bernoulli", "random_test.cpp"},        {"categorical", "random_test.cpp"},
    {"permutation", "random_test.cpp"},      {"random_integers", "random_test.cpp"},
    {"dropout", "random_test.cpp"},          {"to_string", "printing_test.cpp"},
    {"operator<<", "printing_test.cpp"},     {"result_dtype", "golden_test.cpp"},
    {"broadcast_shapes", "errors_test.cpp"}, {"broadcast_together", "errors_test.cpp"},
    {"normalize_axis", "errors_test.cpp"},   {"normalize_axes", "errors_test.cpp"},
    {"vary_together", "errors_test.cpp"},    {"all_reduce_mean", "errors_test.cpp"}};

TEST(Coverage, EveryPublicFunctionHasACase) {
  std::set<std::string> covered;
  for (const Case& c : all_cases()) covered.insert(c.function);
  for (const auto& [function, call] : golden_functions()) covered.insert(function);
  // A declaration at the beginning of a line, with its type before it.
  const std::regex declaration(
      R"((?:^|\n)(?!inline|template|class|struct|enum|using|namespace|return)[A-Za-z_][A-Za-z_:<>,&* ]*[ &]((?:operator<<|[a-z_0-9]+))\()");
  const std::filesystem::path folder = std::filesystem::path(CAIRN_SOURCE_DIR) / "cairn" / "ops";
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".h") continue;
    const std::string text = read(entry.path());
    if (text.find("Not part of the public interface") != std::string::npos) continue;
    for (std::sregex_iterator at(text.begin(), text.end(), declaration), end; at != end; ++at) {
      const std::string function = (*at)[1];
      ++count;
      if (const auto tested = kElsewhere.find(function); tested != kElsewhere.end()) {
        const std::string test =
            read(std::filesystem::path(CAIRN_SOURCE_DIR) / "tests" / "ops" / tested->second);
        EXPECT_NE(test.find(function == "operator<<" ? "out <<" : function + "("),
                  std::string::npos)
            << function << " is not in " << tested->second;
        continue;
      }
      const auto other = kOtherNames.find(function);
      EXPECT_TRUE(covered.count(other == kOtherNames.end() ? function : other->second))
          << function << " of " << entry.path().filename() << " has no case";
    }
  }
  EXPECT_GT(count, 200);
}

}  // namespace
}  // namespace cairn::test
