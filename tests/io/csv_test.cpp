#include "cairn/io/csv.h"

#include <gmock/gmock.h>

#include <cmath>

#include "tests/support/test_data.h"

namespace cairn::io {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

CsvTable table(std::string_view text, const CsvOptions& options = {}) {
  return parse_csv(text, "t.csv", options).value();
}

std::string error_of(std::string_view text, const CsvOptions& options = {}) {
  const auto result = parse_csv(text, "t.csv", options);
  return result.ok() ? "no error" : result.error().what();
}

TEST(Csv, HeaderAndNumbers) {
  const CsvTable t = table("x,y\n1,2.5\n-3, 1e3 \n");
  EXPECT_THAT(t.header(), ElementsAre("x", "y"));
  EXPECT_EQ(t.rows(), 2);
  const HostArray all = t.numbers().value();
  EXPECT_EQ(to_string(all.shape()), "[2,2]");
  EXPECT_THAT(all.span<double>(), ElementsAre(1, 2.5, -3, 1000));
  const int columns[] = {t.column("y")};
  EXPECT_THAT(t.numbers(columns).value().span<double>(), ElementsAre(2.5, 1000));
  EXPECT_THROW(t.column("z"), Error);
}

TEST(Csv, QuotesBreaksAndEndings) {
  const CsvTable t =
      table("a,b\r\n\"one, \"\"two\"\"\r\nthree\",\"\"\r\n, x \r\n\r\n\"\",last", {});
  ASSERT_EQ(t.rows(), 3);
  EXPECT_EQ(t.cell(0, 0), "one, \"two\"\r\nthree");
  EXPECT_EQ(t.cell(0, 1), "");
  EXPECT_EQ(t.cell(1, 0), "");
  EXPECT_EQ(t.cell(1, 1), " x ");
  EXPECT_EQ(t.cell(2, 0), "");
  EXPECT_EQ(t.cell(2, 1), "last");
}

TEST(Csv, ByteOrderMarkOtherSeparatorSkippedLines) {
  const CsvTable t =
      table("\xef\xbb\xbf# made by hand\nx;y\n1;2\n", {.separator = ';', .skip_lines = 1});
  EXPECT_THAT(t.header(), ElementsAre("x", "y"));
  EXPECT_EQ(t.cell(0, 1), "2");
}

TEST(Csv, NumbersAsPeopleWriteThem) {
  const CsvTable t = table("+1,nan,inf\n-0,1E-3,.5\n", {.header = false});
  const HostArray array = t.numbers().value();
  const auto v = array.span<double>();
  EXPECT_EQ(v[0], 1);
  EXPECT_TRUE(std::isnan(v[1]));
  EXPECT_TRUE(std::isinf(v[2]));
  EXPECT_TRUE(std::signbit(v[3]));
  EXPECT_EQ(v[4], 1e-3);
  EXPECT_EQ(v[5], 0.5);
}

TEST(Csv, ErrorsNameLineAndColumn) {
  EXPECT_THAT(error_of("a,b\n1\n"), HasSubstr("line 2 has 1 cells where 2 are expected"));
  EXPECT_THAT(error_of("a,b\n1,2\n\n1,2,3\n"), HasSubstr("line 4 has 3 cells"));
  EXPECT_THAT(error_of("a\n\"x\ny\n"), HasSubstr("line 2, column 1: a quote that is never closed"));
  EXPECT_THAT(error_of("a,b\n1,x\"y\n"), HasSubstr("line 2, column 4: a quote inside a cell"));
  EXPECT_THAT(error_of("a,b\n\"x\ny\"z,1\n"), HasSubstr("line 3, column 3: text follows"));
  EXPECT_THAT(error_of(""), HasSubstr("it is empty"));
  const auto numbers_error = [](std::string_view text, const CsvOptions& options = {}) {
    return std::string(table(text, options).numbers().error().what());
  };
  EXPECT_THAT(numbers_error("a,b\n1,2\n3,x\n"),
              HasSubstr("line 3, column 'b': 'x' is not a number"));
  EXPECT_THAT(numbers_error("\n1,\n", {.header = false}), HasSubstr("line 2, cell 2: ''"));
  EXPECT_THAT(numbers_error("a\n1 2\n"), HasSubstr("'1 2' is not a number"));
  EXPECT_THAT(numbers_error("a\n1e999\n"), HasSubstr("'1e999'"));
  EXPECT_THAT(numbers_error("a\n+-1\n"), HasSubstr("'+-1'"));
}

TEST(Csv, NoRows) {
  EXPECT_EQ(table("a,b\n").rows(), 0);
  EXPECT_EQ(to_string(table("a,b\n").numbers().value().shape()), "[0,2]");
  EXPECT_EQ(table("", {.header = false}).rows(), 0);
}

TEST(Csv, TheTabularDataSets) {
  CAIRN_REQUIRE_DATA("tabular/iris.csv");
  // scikit-learn's first line has the counts and the class names.
  const auto iris =
      read_csv(test::data_path("tabular/iris.csv"), {.header = false, .skip_lines = 1}).value();
  const HostArray values = iris.numbers().value();
  EXPECT_EQ(to_string(values.shape()), "[150,5]");
  double first = 0;
  for (int64_t i = 0; i < 150; ++i) first += values.at(i * 5);
  // The mean sepal length of Fisher's data is 5.843333; 150 additions of numbers below 1000 are
  // within 150 * 1000 * 2^-53 of exact.
  EXPECT_NEAR(first / 150, 5.84333333333333, 1e-10);
  CAIRN_REQUIRE_DATA("tabular/diabetes_data_raw.csv.gz");
  const auto diabetes = read_csv(test::data_path("tabular/diabetes_data_raw.csv.gz"),
                                 {.separator = ' ', .header = false})
                            .value();
  EXPECT_EQ(to_string(diabetes.numbers().value().shape()), "[442,10]");
  CAIRN_REQUIRE_DATA("vision/digits/digits.csv.gz");
  const auto digits = read_csv(test::data_path("vision/digits/digits.csv.gz"), {.header = false});
  EXPECT_EQ(to_string(digits.value().numbers().value().shape()), "[1797,65]");
  CAIRN_REQUIRE_DATA("recsys/adult/adult.data");
  const auto adult = read_csv(test::data_path("recsys/adult/adult.data"), {.header = false});
  ASSERT_EQ(adult.value().rows(), 32'561);
  EXPECT_EQ(adult.value().cell(0, 1), " State-gov");
  const int numeric[] = {0, 2, 4, 10, 11, 12};
  EXPECT_EQ(adult.value().numbers(numeric).value().at(1), 77516);
  EXPECT_THAT(adult.value().numbers().error().what(), HasSubstr("line 1, cell 2: ' State-gov'"));
}

}  // namespace
}  // namespace cairn::io
