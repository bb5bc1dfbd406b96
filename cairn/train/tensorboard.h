// Metrics as TensorBoard reads them: a file of TFRecords, each a tensorflow.Event message.
//
// The whole file is written anew from the run's history each time (at checkpoints and the end), so
// a resumed run has one file without the steps that were cut back. The messages have three fields;
// they are encoded here rather than with protobuf (formats: tensorflow/core/util/event.proto,
// lib/io/record_writer.h).
#pragma once

#include <span>
#include <string>

#include "cairn/train/metrics.h"

namespace cairn {

// The file's bytes: scalars "loss", "val_loss", "val_accuracy", "lr", "grad_norm" and the rate.
std::string tensorboard_events(std::span<const Metrics> history);

}  // namespace cairn
