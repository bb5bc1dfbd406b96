// Configurations: keys, values, parameter groups, what they look like as text, what a resume
// allows.
#include "cairn/train/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cairn/train/run_setup.h"
#include "tests/support/message_of.h"

namespace cairn {
namespace {

using testing::HasSubstr;

std::string error_of(std::string_view text) {
  const auto result = parse_config(text);
  return result ? "" : result.error().what();
}

TEST(Config, UnknownKeyNamesTheNearest) {
  const auto result = parse_config("[train]\nlerning_rate = 1e-3\n");
  ASSERT_FALSE(result);
  const std::string text = result.error().what();
  EXPECT_NE(text.find("line 2"), std::string::npos) << text;
  EXPECT_NE(text.find("did you mean 'train.learning_rate'"), std::string::npos) << text;
}

TEST(Config, RoundTripsAndSets) {
  TrainConfig c = parse_config("[train]\nbatch = 12\nbetas = [0.9, 0.99]\n").value();
  ASSERT_TRUE(set_field(c, "train.steps=100").ok());
  ASSERT_TRUE(set_field(c, "model.family=llama").ok());
  EXPECT_FALSE(set_field(c, "train.batch=many").ok());
  EXPECT_FALSE(set_field(c, "train.batch").ok());
  EXPECT_FALSE(set_field(c, "data.text=[\"a").ok());  // not the word '["a'
  const TrainConfig again = parse_config(to_toml(c)).value();
  EXPECT_EQ(to_toml(again), to_toml(c));
  EXPECT_EQ(again.train.steps, 100);
  EXPECT_EQ(again.model.family, "llama");
}

TEST(Config, GroupsAreTablesOfTheirOwn) {
  const TrainConfig c = parse_config(R"(
[train]
weight_decay = 0.1
[[train.group]]
match = "*.bias"
weight_decay = 0
[[train.group]]
match = ["*norm*", "embedding.?"]
learning_rate_scale = 0.5
)")
                            .value();
  ASSERT_EQ(c.train.group.size(), 2u);
  EXPECT_EQ(c.train.group[0], (ParameterGroup{{"*.bias"}, 1, 0.0}));
  EXPECT_EQ(c.train.group[1], (ParameterGroup{{"*norm*", "embedding.?"}, 0.5, std::nullopt}));
  EXPECT_EQ(step_options(c).groups, c.train.group);
  EXPECT_EQ(parse_config(to_toml(c)).value().train.group, c.train.group) << to_toml(c);

  TrainConfig set = c;
  ASSERT_TRUE(set_field(set, R"(train.group=[{match = "*", learning_rate_scale = 2}])").ok());
  EXPECT_EQ(set.train.group, (std::vector<ParameterGroup>{{{"*"}, 2, std::nullopt}}));
  EXPECT_THAT(resume_differences(c, set),
              testing::ElementsAre(HasSubstr("train.group ([{match = [\"*.bias\"]")));
}

TEST(Config, BadGroupsNameTheKey) {
  EXPECT_THAT(error_of("[[train.group]]\nmatch = \"*\"\nwieght_decay = 0\n"),
              testing::AllOf(HasSubstr("line 3"), HasSubstr("did you mean 'weight_decay'")));
  EXPECT_THAT(error_of("[[train.group]]\nweight_decay = 0\n"), HasSubstr("needs match"));
  EXPECT_THAT(error_of("[[train.group]]\nmatch = 1\n"), HasSubstr("match must be a text"));
  EXPECT_THAT(error_of("[[train.group]]\nmatch = \"*\"\nweight_decay = -1\n"),
              HasSubstr("weight_decay is -1"));
  EXPECT_THAT(error_of("[train]\ngroup = \"*.bias\"\n"), HasSubstr("[[train.group]]"));
}

TEST(Config, ValuesThatMakeNoSenseNameTheKey) {
  const char* const lines[] = {"[model]\nlayers = -1",
                               "[model]\nwidth = -8",
                               "[model]\ncontext = 10000000000",
                               "[model]\nhidden = [0]",
                               "[model]\ndropout = 1.0",
                               "[data]\nvalidation = 1.0",
                               "[train]\nbatch = 0",
                               "[train]\nlearning_rate = nan",
                               "[train]\nmomentum = 1.5",
                               "[train]\nbetas = [0.9, 1.0]",
                               "[train]\nweight_decay = -0.1",
                               "[train]\nclip_value = -1.0",
                               "[train]\nema = 1.0",
                               "[train]\nseed = -1"};
  for (const std::string line : lines) {
    const size_t key = line.find('\n') + 1;
    const std::string section = line.substr(1, key - 3);
    EXPECT_THAT(error_of(line), HasSubstr(section + "." + line.substr(key, line.find(' ') - key)));
  }
  // What TOML cannot say, a checkpoint could not hold.
  TrainConfig bytes;
  bytes.data.text = {"caf\xE9.txt"};
  ASSERT_FALSE(check(bytes).ok());
  EXPECT_THAT(check(bytes).error().what(), HasSubstr("text is not UTF-8"));
  TrainConfig c;
  c.train.seed = uint64_t{1} << 63;
  EXPECT_FALSE(check(c).ok());
}

TEST(Config, EveryKeyIsReadBackFromTheTextOfAnother) {
  TrainConfig c;
  c.data.text = {"a \"b\"\\c\n\x7f", "\xC3\xA9"};
  c.train.milestones = {3, 5};
  c.train.learning_rate = 0.1 + 0.2;  // 17 digits
  c.train.clip_value = 1e-300;
  c.train.gamma = 0.3;
  const std::string text = to_toml(c);
  const TrainConfig again = parse_config(text).value();
  EXPECT_EQ(to_toml(again), text);
  EXPECT_EQ(again.data.text, c.data.text);
  EXPECT_EQ(again.train.learning_rate, c.train.learning_rate);
  EXPECT_TRUE(resume_differences(c, again).empty());
}

// Steps, paths and logging may differ on resume, all other keys not.
TEST(Config, WhatAResumeAllows) {
  const char* const free[] = {"data.text=other.txt",      "train.steps=7",
                              "train.epochs=2",           "train.log_every=1",
                              "train.keep_checkpoints=9", "train.evaluate_every=3",
                              "train.checkpoint_every=3", "data.images=a.gz"};
  for (const char* assignment : free) {
    TrainConfig now;
    ASSERT_TRUE(set_field(now, assignment).ok()) << assignment;
    EXPECT_TRUE(resume_differences({}, now).empty()) << assignment;
  }
  const char* const fixed[] = {
      "model.family=llama",    "model.layers=2",        "model.dropout=0.5",
      "model.tied=false",      "data.tokenizer=char",   "data.validation=0.2",
      "data.separator=x",      "train.batch=3",         "train.accumulate=2",
      "train.optimizer=sgd",   "train.learning_rate=1", "train.schedule=linear",
      "train.warmup_steps=3",  "train.weight_decay=1",  "train.decay_all=true",
      "train.betas=[0.1,0.2]", "train.momentum=0.5",    "train.clip=1",
      "train.clip_value=1",    "train.ema=0.5",         "train.label_smoothing=0.1",
      "train.seed=2",          "train.patience=3",      "train.milestones=[3]"};
  for (const char* assignment : fixed) {
    TrainConfig now;
    ASSERT_TRUE(set_field(now, assignment).ok()) << assignment;
    const std::string text = assignment;
    EXPECT_THAT(resume_differences({}, now),
                testing::ElementsAre(HasSubstr(text.substr(0, text.find('=')) + " (")))
        << assignment;
  }
  // A tokenizer file may have moved; how often plateau evaluates decides on its rate.
  TrainConfig a, b;
  a.data.tokenizer = "/x/tokenizer.json";
  b.data.tokenizer = "/y/tokenizer.json";
  EXPECT_TRUE(resume_differences(a, b).empty());
  a = b = {};
  a.train.schedule = b.train.schedule = "plateau";
  b.train.evaluate_every = 5;
  EXPECT_EQ(resume_differences(a, b).size(), 1u);
}

TEST(Config, SchedulesHaveDefaultsThatLast) {
  TrainConfig c = parse_config("[train]\nlearning_rate = 1.0\nwarmup_steps = 10\n").value();
  const auto rate = [&](const char* schedule, int64_t step) {
    c.train.schedule = schedule;
    return rate_at(schedule_config(c, 100), step);
  };
  EXPECT_DOUBLE_EQ(rate("step", 39), 1);
  EXPECT_DOUBLE_EQ(rate("step", 40), 0.1);
  EXPECT_DOUBLE_EQ(rate("step", 99), 0.1 * 0.1);
  EXPECT_DOUBLE_EQ(rate("multistep", 54), 1);
  EXPECT_DOUBLE_EQ(rate("multistep", 55), 0.1);
  EXPECT_DOUBLE_EQ(rate("multistep", 77), 0.1 * 0.1);
  EXPECT_NEAR(rate("exponential", 100), 0.01, 1e-15);
  EXPECT_DOUBLE_EQ(rate("warm_restarts", 40), 1);
  EXPECT_DOUBLE_EQ(rate("plateau", 99), 1);
  c.train.gamma = 0.5;
  c.train.step_size = 20;
  EXPECT_DOUBLE_EQ(rate("step", 75), 0.125);
  c.train.schedule = "plateau";
  c.train.patience = 0;
  Plateau plateau = plateau_of(c).value();
  plateau.step(1);
  EXPECT_DOUBLE_EQ(plateau.step(1), 0.5);
}

// One value of each hyper-parameter, as it stands in [optimizer].
std::string value_of(const OptimizerOption& option) {
  if (option.name == "adjust_lr_fn") return "\"match_rms_adamw\"";
  if (option.name == "line_search_fn") return "\"none\"";
  if (option.name == "dampening") return "0.0";  // nesterov takes no other
  constexpr const char* kValues[] = {"0.5", "true", "3", "", "[0.5, 0.25]"};
  if (option.value.index() == 0 && option.least >= 1) return "1.5";
  if (option.value.index() == 0 && option.most <= 0) return "-0.5";
  return kValues[option.value.index()];
}

// All that an optimizer has can be set, and arrives; one that it lacks is an error that says which
// have it.
TEST(Config, EveryHyperParameterOfEveryOptimizer) {
  std::vector<std::string> names = optimizer_names();
  names.emplace_back("lbfgs");
  OptimizerConfig known;
  const auto all = optimizer_options(known);
  EXPECT_EQ(all.size(), 32u);
  for (const std::string& name : names) {
    SCOPED_TRACE(name);
    std::string text = "[train]\noptimizer = \"" + name + "\"\n[optimizer]\n";
    int count = 0;
    for (const OptimizerOption& option : all) {
      const auto with = optimizers_with(option.name);
      if (std::find(with.begin(), with.end(), name) != with.end()) {
        text += option.name + " = " + value_of(option) + "\n";
        ++count;
        continue;
      }
      const TrainConfig c = parse_config("[train]\noptimizer = \"" + name + "\"\n[optimizer]\n" +
                                         option.name + " = " + value_of(option) + "\n")
                                .value();
      const std::string wrong = test::message_of([&] {
        if (!lbfgs_options(c)) make_optimizer(optimizer_config(c));
      });
      EXPECT_THAT(wrong, HasSubstr("optimizer " + name + " has no hyper-parameter '" + option.name +
                                   "', which is one of: "));
      for (const std::string& other : with) EXPECT_THAT(wrong, HasSubstr(other));
    }
    EXPECT_GE(count, name == "lbfgs" ? 6 : 2);
    const auto parsed = parse_config(text);
    ASSERT_TRUE(parsed.ok()) << parsed.error().what() << text;
    EXPECT_EQ(to_toml(parse_config(to_toml(parsed.value())).value()), to_toml(parsed.value()));
    if (const auto lbfgs = lbfgs_options(parsed.value())) {
      EXPECT_EQ(lbfgs->history, 3);
      EXPECT_EQ(lbfgs->max_iterations, 3);
      EXPECT_EQ(lbfgs->max_evaluations, 3);
      EXPECT_EQ(lbfgs->tolerance_gradient, 0.5);
      EXPECT_EQ(lbfgs->tolerance_change, 0.5);
      EXPECT_FALSE(lbfgs->strong_wolfe);
      continue;
    }
    OptimizerConfig given = optimizer_config(parsed.value());
    int set = 0;
    for (const OptimizerOption& option : optimizer_options(given)) set += option.is_set();
    EXPECT_EQ(set, count);
    EXPECT_NE(make_optimizer(given), nullptr);
  }
}

TEST(Config, HyperParametersAreChecked) {
  EXPECT_THAT(error_of("[optimizer]\nnestrov = true\n"),
              HasSubstr("line 2: 'optimizer.nestrov' is not a key of a configuration; did you mean "
                        "'optimizer.nesterov'?"));
  EXPECT_THAT(error_of("[optimizer]\nnesterov = 1\n"),
              HasSubstr("optimizer.nesterov must be true or false"));
  EXPECT_THAT(error_of("[optimizer]\nns_steps = 5000000000\n"),
              HasSubstr("optimizer.ns_steps must be a whole number"));
  EXPECT_THAT(error_of("[optimizer]\nns_steps = 100\n"), HasSubstr("ns_steps is 100"));
  EXPECT_THAT(error_of("[optimizer]\nrho = 1.5\n"),
              HasSubstr("optimizer.rho is 1.5; it must be from 0 to 1"));
  EXPECT_THAT(error_of("[optimizer]\nalpha = nan\n"), HasSubstr("optimizer.alpha is nan"));
  EXPECT_THAT(error_of("[optimizer]\nt0 = inf\n"), HasSubstr("optimizer.t0 is inf"));
  EXPECT_THAT(error_of("[optimizer]\nbetas = [0.9, 1.0]\n"), HasSubstr("optimizer.betas"));
  EXPECT_THAT(error_of("[train]\nmomentum = 0.9\n[optimizer]\nmomentum = 0.9\n"),
              HasSubstr("momentum is set as train.momentum and as optimizer.momentum"));
  // On resume it is a setting like any other.
  TrainConfig now;
  ASSERT_TRUE(set_field(now, "optimizer.amsgrad=true").ok());
  EXPECT_EQ(now.optimizer.amsgrad, true);
  EXPECT_THAT(resume_differences({}, now),
              testing::ElementsAre("optimizer.amsgrad (not set, now true)"));
  EXPECT_EQ(to_toml({}).find("[optimizer]"), std::string::npos);
}

TEST(Config, WeightDecayIsWhatTheFileSays) {
  const TrainConfig c = parse_config("[train]\noptimizer = \"adamw\"\nweight_decay = 0\n").value();
  EXPECT_EQ(optimizer_config(c).weight_decay, 0);
}

}  // namespace
}  // namespace cairn
