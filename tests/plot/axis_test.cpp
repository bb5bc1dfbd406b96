#include "cairn/plot/axis.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "cairn/base/error.h"

namespace cairn::plot {
namespace {

using testing::DoubleNear;
using testing::ElementsAre;

TEST(Axis, TicksAreRoundNumbers) {
  EXPECT_THAT(nice_ticks({0, 10}, 6), ElementsAre(0, 2, 4, 6, 8, 10));
  EXPECT_THAT(nice_ticks({0, 10}, 11).size(), 11u);
  EXPECT_THAT(nice_ticks({-1.2, 1.3}, 6), ElementsAre(-1, -0.5, 0, 0.5, 1));
  EXPECT_THAT(nice_ticks({0.1, 0.3}, 3),
              ElementsAre(DoubleNear(0.1, 1e-15), DoubleNear(0.2, 1e-15), DoubleNear(0.3, 1e-15)));
  EXPECT_THAT(nice_ticks({3, 97}, 5), ElementsAre(20, 40, 60, 80));
}

TEST(Axis, TicksOfAnyRangeAreFewInsideAndSteppedBy125) {
  std::mt19937 random(7);
  std::uniform_real_distribution<double> exponent(-200, 200);
  std::uniform_real_distribution<double> offset(-3, 3);
  for (int i = 0; i < 2000; ++i) {
    const double span = std::pow(10, exponent(random));
    const Range range = {span * offset(random), 0};
    const Range r = {range.low, range.low + span};
    const int most = 2 + i % 12;
    const auto ticks = nice_ticks(r, most);
    ASSERT_GE(ticks.size(), 1u);
    ASSERT_LE(ticks.size(), static_cast<size_t>(most));
    EXPECT_GE(ticks.front(), r.low - 1e-5 * span);
    EXPECT_LE(ticks.back(), r.high + 1e-5 * span);
    if (ticks.size() < 2) continue;
    const double step = ticks[1] - ticks[0];
    // The mantissa of the step; log10 and pow are good to a few ulp, ticks to 4 of them.
    const double mantissa = step / std::pow(10, std::floor(std::log10(step) + 1e-9));
    EXPECT_TRUE(std::abs(mantissa - 1) < 1e-9 || std::abs(mantissa - 2) < 1e-9 ||
                std::abs(mantissa - 5) < 1e-9)
        << mantissa;
  }
}

TEST(Axis, LogTicks) {
  EXPECT_THAT(log_ticks({1, 100}, 8), ElementsAre(1, 2, 5, 10, 20, 50, 100));
  EXPECT_THAT(log_ticks({1, 100}, 5), ElementsAre(1, 3, 10, 30, 100));
  EXPECT_THAT(log_ticks({1, 100}, 4), ElementsAre(1, 10, 100));
  EXPECT_THAT(log_ticks({1e-6, 1}, 4), ElementsAre(1e-6, 1e-4, 1e-2, 1));
  EXPECT_THAT(log_ticks({3, 4.2}, 4), ElementsAre(3, 3.5, 4));  // less than a step of 1, 2, 5
}

TEST(Axis, Labels) {
  const auto linear = [](std::vector<double> ticks) { return tick_labels(ticks, false); };
  const auto log = [](std::vector<double> ticks) { return tick_labels(ticks, true); };
  EXPECT_THAT(linear({0, 0.5, 1}), ElementsAre("0", "0.5", "1.0"));
  EXPECT_THAT(linear({-2, 0, 2}), ElementsAre("-2", "0", "2"));
  EXPECT_THAT(linear({0, 2000, 4000}), ElementsAre("0", "2000", "4000"));
  EXPECT_THAT(linear({0, 5000, 10000}), ElementsAre("0", "5k", "10k"));
  EXPECT_THAT(linear({0, 5e5, 1e6}), ElementsAre("0", "0.5M", "1.0M"));
  EXPECT_THAT(linear({1.001, 1.002}), ElementsAre("1.001", "1.002"));
  EXPECT_THAT(linear({0, 2e-5, 4e-5}), ElementsAre("0", "2e-5", "4e-5"));
  EXPECT_THAT(linear({0.15}), ElementsAre("0.15"));
  EXPECT_THAT(linear({0, 1.5e16}), ElementsAre("0", "1.5e16"));
  EXPECT_THAT(log({1e-4, 0.001, 0.01, 1, 1000, 20000, 1e9}),
              ElementsAre("1e-4", "0.001", "0.01", "1", "1000", "20k", "1B"));
}

TEST(Axis, RangeIgnoresWhatCannotBeDrawn) {
  const std::vector<double> values = {NAN, 2, INFINITY, -INFINITY, 5, 1e301};
  const std::span<const double> columns[] = {values};
  const Axis axis = make_axis(columns, {}, false, 0, 5);
  EXPECT_EQ(axis.range.low, 2);
  EXPECT_EQ(axis.range.high, 5);
  EXPECT_EQ(axis.position(2), 0);
  EXPECT_EQ(axis.position(5), 1);
  EXPECT_EQ(axis.position(3.5), 0.5);
  EXPECT_TRUE(std::isnan(axis.position(NAN)));
  EXPECT_TRUE(std::isnan(axis.position(INFINITY)));

  const std::vector<double> positive = {-1, 0, 0.01, 100};
  const std::span<const double> log_columns[] = {positive};
  const Axis log = make_axis(log_columns, {}, true, 0, 5);
  EXPECT_EQ(log.range.low, 0.01);
  EXPECT_EQ(log.range.high, 100);
  EXPECT_NEAR(log.position(1), 0.5, 1e-15);
  EXPECT_TRUE(std::isnan(log.position(0)));
}

TEST(Axis, AnyDataGivesAUsableRange) {
  for (const std::vector<double>& values : {std::vector<double>{},
                                            {3},
                                            {0, 0},
                                            {-1e300, 1e300},
                                            {1e-320, 2e-320},
                                            {1, 1 + 1e-15},
                                            {1e300, 1e300},
                                            {NAN}}) {
    for (bool log : {false, true}) {
      const std::span<const double> columns[] = {values};
      const Axis axis = make_axis(columns, {}, log, 0.05, 5);
      EXPECT_LT(axis.range.low, axis.range.high);
      EXPECT_TRUE(std::isfinite(axis.range.high - axis.range.low));
      EXPECT_FALSE(axis.ticks.empty());
      EXPECT_LE(axis.ticks.size(), 5u);
      EXPECT_EQ(axis.ticks.size(), axis.labels.size());
      for (double v : values) {
        if (is_drawable(v, log)) {
          EXPECT_GE(axis.position(v), -1e-9) << v;
          EXPECT_LE(axis.position(v), 1 + 1e-9) << v;
        }
      }
    }
  }
}

TEST(Axis, AFixedRangeMustBeOne) {
  EXPECT_EQ(make_axis({}, Range{-1, 1}, false, 0.5, 5).range.low, -1);
  EXPECT_THROW(make_axis({}, Range{1, 1}, false, 0, 5), Error);
  EXPECT_THROW(make_axis({}, Range{2, 1}, false, 0, 5), Error);
  EXPECT_THROW(make_axis({}, Range{0, NAN}, false, 0, 5), Error);
  EXPECT_THROW(make_axis({}, Range{0, 1}, true, 0, 5), Error);
}

}  // namespace
}  // namespace cairn::plot
