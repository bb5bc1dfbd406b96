// Learning rates against PyTorch's and Hugging Face's schedules
// (tests/golden/optimizers/schedules).
#include "cairn/train/schedule.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "cairn/base/error.h"
#include "cairn/io/safetensors.h"
#include "tests/support/test_data.h"

namespace cairn {
namespace {

using Json = nlohmann::json;

// The same schedule in our terms; nothing for one that cairn does not have.
std::optional<ScheduleConfig> config_of(const Json& c) {
  const Json& o = c["options"];
  const std::string name = c["name"], kind = c["schedule"];
  ScheduleConfig s;
  s.learning_rate = c["learning_rate"];
  s.total_steps = 50;
  if (kind == "StepLR") {
    s.name = "step";
    s.step_size = o["step_size"];
    s.gamma = o["gamma"];
  } else if (kind == "MultiStepLR") {
    s.name = "multistep";
    s.milestones = o["milestones"].get<std::vector<long>>();
    s.gamma = o["gamma"];
  } else if (kind == "ExponentialLR") {
    s.name = "exponential";
    s.gamma = o["gamma"];
  } else if (name == "cosine") {
    s.name = "cosine";
    s.min_learning_rate = o["eta_min"];
    s.total_steps = o["T_max"];
  } else if (kind == "PolynomialLR") {
    s.name = "polynomial";
    s.total_steps = o["total_iters"];
    s.power = o["power"];
  } else if (kind == "OneCycleLR" && !o.contains("three_phase")) {
    s.name = "one_cycle";
    s.learning_rate = o["max_lr"];
    s.linear_anneal = o["anneal_strategy"] == "linear";
    s.peak_share = o.value("pct_start", 0.3);
    s.start_divisor = o.value("div_factor", 25.0);
    s.end_divisor = o.value("final_div_factor", 1e4);
  } else if (kind == "CosineAnnealingWarmRestarts") {
    s.name = "warm_restarts";
    s.step_size = o["T_0"];
    s.cycle_growth = o["T_mult"];
    s.min_learning_rate = o["eta_min"];
  } else {
    return std::nullopt;
  }
  return s;
}

TEST(Schedule, FollowsPyTorch) {
  std::ifstream in(test::golden_path("optimizers/schedules.json"));
  const Json json = Json::parse(in);
  const auto file =
      io::SafetensorsFile::open(test::golden_path("optimizers/schedules.safetensors").string())
          .value();
  std::set<std::string> compared;
  for (const Json& c : json["cases"]) {
    const auto config = config_of(c);
    if (!config) continue;
    const std::string name = c["name"];
    const HostArray expected = file.read(name).value();
    // PyTorch multiplies rates from step to step where we use the closed form: 50 roundings.
    for (int i = 0; i < 50; ++i)
      EXPECT_NEAR(rate_at(*config, i), expected.at(i), 50 * 0x1p-52 * config->learning_rate)
          << name << " " << i;
    compared.insert(config->name);
  }
  EXPECT_EQ(compared, (std::set<std::string>{"step", "multistep", "exponential", "cosine",
                                             "polynomial", "one_cycle", "warm_restarts"}));
}

TEST(Schedule, PlateauFollowsPyTorch) {
  std::ifstream in(test::golden_path("optimizers/schedules.json"));
  const Json json = Json::parse(in);
  const auto file =
      io::SafetensorsFile::open(test::golden_path("optimizers/schedules.safetensors").string())
          .value();
  for (const Json& c : json["cases"]) {
    if (c["name"] != "plateau") continue;
    const Json& o = c["options"];
    Plateau plateau(c["learning_rate"], o["factor"], o["patience"], o["threshold"]);
    const HostArray expected = file.read("plateau").value();
    const HostArray metric = file.read("metric").value();
    for (int i = 0; i < 50; ++i) {
      EXPECT_NEAR(plateau.rate(), expected.at(i), 1e-15) << i;
      plateau.step(metric.at(i));
    }
    return;
  }
  FAIL() << "no plateau case";
}

TEST(Schedule, WarmUpRisesLinearlyAndLinearEndsAtTheMinimum) {
  ScheduleConfig s{.name = "linear",
                   .learning_rate = 1,
                   .min_learning_rate = 0.1,
                   .total_steps = 110,
                   .warmup_steps = 9};
  EXPECT_DOUBLE_EQ(rate_at(s, 0), 0.1);
  EXPECT_DOUBLE_EQ(rate_at(s, 8), 0.9);
  EXPECT_DOUBLE_EQ(rate_at(s, 9), 1);
  EXPECT_NEAR(rate_at(s, 110), 0.1, 1e-15);
  EXPECT_NEAR(rate_at(s, 1000), 0.1, 1e-15);
  s.name = "constant";
  EXPECT_DOUBLE_EQ(rate_at(s, 50), 1);
  s.name = "constnat";
  EXPECT_THROW(rate_at(s, 0), Error);
}

}  // namespace
}  // namespace cairn
