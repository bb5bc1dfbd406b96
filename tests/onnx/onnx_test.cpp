// The operator cases of ONNX against the reference backend, and the count of those that run.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <iostream>
#include <set>
#include <sstream>

#include "tests/onnx/run_case.h"
#include "tests/support/checked_runtime.h"
#include "tests/support/test_data.h"

namespace cairn::test {

namespace {

const std::vector<OnnxCase>& cases() {
  static const std::vector<OnnxCase> all = read_onnx_cases(data_path(kOnnxArchive).string());
  return all;
}

std::filesystem::path coverage_path() {
  return std::filesystem::path(CAIRN_SOURCE_DIR) / "tests" / "onnx" / "coverage.txt";
}

std::string text_of(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// What one operator's cases came to.
struct Count {
  int run = 0;
  int by_definition = 0;  // of those that run: where the model is the operator's definition
  std::map<std::string, int> skipped;  // by reason
  int skips() const {
    int sum = 0;
    for (const auto& [reason, count] : skipped) sum += count;
    return sum;
  }
};

std::string table_of(const std::map<std::string, Count>& counts,
                     const std::vector<std::string>& without_a_case) {
  std::string text =
      "# Operator cases of ONNX: operator, cases that run (of those, cases whose model is the\n"
      "# operator's definition by others), cases skipped and why. The tests hold it against what "
      "ran.\n";
  int run = 0, skipped = 0;
  for (const auto& [op, count] : counts) {
    text += fmt::format("{:<26} run {:>3} ({:>2}), skipped {:>3}\n", op, count.run,
                        count.by_definition, count.skips());
    for (const auto& [reason, n] : count.skipped) text += fmt::format("    {:>3} {}\n", n, reason);
    run += count.run;
    skipped += count.skips();
  }
  text +=
      fmt::format("in the table, but in no case that runs: {}\n", fmt::join(without_a_case, " "));
  return text + fmt::format("{} cases run, {} skipped\n", run, skipped);
}

// Lines that only one of the texts has, "- " before those of the first.
std::string changed_lines(const std::string& a, const std::string& b) {
  const auto lines_of = [](const std::string& text) {
    std::istringstream stream(text);
    std::vector<std::string> lines;
    for (std::string line; std::getline(stream, line);) lines.push_back(line);
    return lines;
  };
  const std::vector<std::string> left = lines_of(a), right = lines_of(b);
  if (left == right) return {};
  std::string text = "lines differ:\n";
  for (const auto& line : left)
    if (std::find(right.begin(), right.end(), line) == right.end()) text += "- " + line + "\n";
  for (const auto& line : right)
    if (std::find(left.begin(), left.end(), line) == left.end()) text += "+ " + line + "\n";
  return text;
}

void collect_operators(const OnnxGraph& graph, std::set<std::string>& names) {
  for (const OnnxNode& node : graph.nodes) {
    names.insert(node.op);
    for (const auto& [name, attribute] : node.attributes)
      if (const auto* body = std::get_if<std::shared_ptr<const OnnxGraph>>(&attribute))
        collect_operators(**body, names);
  }
}

// Operators of which some case runs, from the table that is checked in: the names of the tests must
// not depend on whether the archive is here.
std::vector<std::string> operators_that_run() {
  std::ifstream file(coverage_path());
  std::vector<std::string> names;
  std::string line;
  while (std::getline(file, line)) {
    std::istringstream words(line);
    std::string op, run;
    int count = 0;
    if (line.starts_with(' ') || !(words >> op >> run >> count)) continue;
    if (run == "run" && count > 0) names.push_back(op);
  }
  return names;
}

class OnnxOperator : public testing::TestWithParam<std::string> {};

}  // namespace

TEST_P(OnnxOperator, GivesTheResultsOfItsCases) {
  CAIRN_REQUIRE_DATA(kOnnxArchive);
  Runtime runtime(test::checked());
  int passed = 0;
  for (const OnnxCase& c : cases()) {
    if (c.op != GetParam()) continue;
    const OnnxOutcome outcome = run_onnx_case(c, runtime);
    EXPECT_NE(outcome.kind, OnnxOutcome::failed) << c.name << ": " << outcome.reason;
    passed += outcome.kind == OnnxOutcome::passed;
  }
  EXPECT_GT(passed, 0);
}

INSTANTIATE_TEST_SUITE_P(Onnx, OnnxOperator, testing::ValuesIn(operators_that_run()),
                         [](const auto& parameter) { return parameter.param; });

TEST(OnnxCoverage, IsWhatTheCheckedInTableSays) {
  CAIRN_REQUIRE_DATA(kOnnxArchive);
  Runtime runtime(test::checked());
  std::map<std::string, Count> counts;
  std::set<std::string> used;
  for (const OnnxCase& c : cases()) {
    const OnnxOutcome outcome = run_onnx_case(c, runtime);
    Count& count = counts[c.op];
    if (outcome.kind == OnnxOutcome::passed) {
      ++count.run;
      count.by_definition += c.is_definition;
      collect_operators(c.model.graph, used);
    } else {
      ++count.skipped[outcome.kind == OnnxOutcome::skipped ? outcome.reason
                                                           : "FAILED: " + outcome.reason];
    }
  }
  std::vector<std::string> without_a_case;
  for (const auto& [op, builder] : onnx_operators())
    if (!used.contains(op)) without_a_case.push_back(op);
  const std::string table = table_of(counts, without_a_case);
  std::cout << table;
  EXPECT_EQ(changed_lines(text_of(coverage_path()), table), "")
      << "when the change is meant, tests/onnx/coverage.txt takes the table above";
}

// A wrong result must not pass: each result of a case is changed a little and compared again.
TEST(OnnxCoverage, SeesAWrongResult) {
  CAIRN_REQUIRE_DATA(kOnnxArchive);
  Runtime runtime(test::checked());
  int changed = 0;
  for (const OnnxCase& c : cases()) {
    if (c.op != "Softmax" && c.op != "ArgMax" && c.op != "Conv") continue;
    OnnxCase wrong = c;
    for (OnnxValue& value : wrong.outputs) {
      const Tensor x = Tensor(value.get());
      const Tensor more = is_float(x.dtype()) ? x * (1 + 64 * epsilon(x.dtype())) : x + 1;
      value.array = eval(runtime, more).host();
    }
    EXPECT_EQ(run_onnx_case(wrong, runtime).kind, OnnxOutcome::failed) << c.name;
    ++changed;
  }
  EXPECT_GT(changed, 0);
}

}  // namespace cairn::test
