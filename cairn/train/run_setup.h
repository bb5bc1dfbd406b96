// From a configuration to what a run is made of: optimizer, options of the step, schedule.
#pragma once

#include "cairn/train/config.h"
#include "cairn/train/lbfgs.h"
#include "cairn/train/optimizer.h"
#include "cairn/train/schedule.h"
#include "cairn/train/train_step.h"

namespace cairn {

// Keys of [train] that are set but that this run's optimizer has no use for. They are of many
// optimizers, so that a configuration holds while its optimizer is changed.
std::vector<std::string> unused_keys(const TrainConfig& config);
// Without the unused keys.
OptimizerConfig optimizer_config(const TrainConfig& config);
TrainStepOptions step_options(const TrainConfig& config);
// Of optimizer "lbfgs" (strong Wolfe search, history of 10); nothing for the others. Throws Error
// naming a key that it does not go with.
std::optional<LbfgsOptions> lbfgs_options(const TrainConfig& config);

// Bytes of what training keeps from step to step: the module's fields, the optimizer's state and
// averages. The module need not be initialised.
double state_bytes(const TrainConfig& config, Module& module);

// `span` is the number of steps after the warm-up. Where the configuration is silent: gamma is 0.1,
// or, of "exponential", what takes the rate to a hundredth in the span; step_size (of
// warm_restarts: the first cycle) is a third of the span; milestones are at a half and three
// quarters of it.
ScheduleConfig schedule_config(const TrainConfig& config, int64_t total_steps);

// The rate of schedule "plateau", lowered by gamma when the validation loss has not fallen in more
// than `patience` evaluations; nothing for other schedules.
std::optional<Plateau> plateau_of(const TrainConfig& config);

}  // namespace cairn
