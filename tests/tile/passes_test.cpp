// The passes over kernels, as text: each file of tests/tile/passes, which is named PASS.CASE.tile,
// holds a kernel and, behind a line of dashes, what the pass makes of it.
#include "cairn/tile/passes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <set>
#include <string>

#include "cairn/tile/kernels.h"
#include "cairn/tile/print.h"
#include "tests/support/message_of.h"
#include "tests/tile/texts.h"

namespace cairn::tile {
namespace {

constexpr std::string_view kBecomes = "\n----\n";

const Pass& pass_of(const std::filesystem::path& file) {
  const std::string name = file.filename().string().substr(0, file.filename().string().find('.'));
  for (const Pass& pass : passes())
    if (pass.name == name) return pass;
  throw_error(file.string() + " is named after no pass");
}

TEST(Passes, Texts) {
  std::set<std::string_view> tested;
  for (const auto& entry : std::filesystem::directory_iterator(
           std::filesystem::path(CAIRN_SOURCE_DIR) / "tests/tile/passes")) {
    SCOPED_TRACE(entry.path().string());
    const Pass& pass = pass_of(entry.path());
    tested.insert(pass.name);
    const std::string text = test::read(entry.path());
    const size_t middle = text.find(kBecomes);
    const Kernel before = parse_kernel(text.substr(0, middle + 1));
    verify(before);
    const Kernel after = pass.run(before);
    verify(after);
    EXPECT_EQ(to_text(after), middle == text.npos ? "" : text.substr(middle + kBecomes.size()));
  }
  for (const Pass& pass : passes()) EXPECT_TRUE(tested.contains(pass.name)) << pass.name;
}

TEST(Passes, RunInOrderUpToOne) {
  const Kernel kernel = named_kernel("softmax").make(DType::f32, {4, 64});
  Kernel step = kernel;
  for (const Pass& pass : passes()) {
    step = pass.run(step);
    EXPECT_EQ(to_text(run_passes(kernel, pass.name)), to_text(step));
  }
  EXPECT_EQ(to_text(run_passes(kernel)), to_text(step));
  // Nothing is left for a second turn.
  EXPECT_EQ(to_text(run_passes(step)), to_text(step));
}

TEST(Passes, NamesTheProblem) {
  Kernel kernel = named_kernel("add").make(DType::f32, {64});
  EXPECT_THAT(cairn::test::message_of([&] { run_passes(kernel, "polish"); }),
              testing::HasSubstr("no pass over kernels is called 'polish'"));
  kernel.body.code.pop_back();
  kernel.body.code.front().results.clear();
  EXPECT_NE(cairn::test::message_of([&] { run_passes(kernel); }), "no error");
}

}  // namespace
}  // namespace cairn::tile
