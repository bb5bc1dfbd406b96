// Which neighbouring launches run at once.
//
// Threads that share out one launch wait for each other at its end: some 3 us, and as long as the
// last piece takes. The updates of a model's parameters, the gradients of a layer's weights, biases
// and input, the products of queries, keys and values do not depend on each other; run at once,
// their pieces are shared out together. The order of launches stays, and so does the plan.
#include "cairn/runtime/planning.h"

namespace cairn::detail {
namespace {

// More would be compared with each other in vain: the pieces of so many fill all threads.
constexpr size_t kMost = 32;

// Memory by identity: each argument and result by itself, the arena by places.
struct Range {
  int64_t id;  // -1: the arena
  int64_t begin, end;
  bool overlaps(const Range& other) const {
    return id == other.id && begin < other.end && other.begin < end;
  }
};

class Batch {
 public:
  explicit Batch(const Plan& plan) : plan_(plan) {}

  void clear() {
    read_.clear();
    written_.clear();
    work_ = 0;
    size_ = 0;
  }
  size_t size() const { return size_; }
  bool is_worth_it() const { return size_ > 1 && work_ >= 2; }

  // Whether the launch may run with those before it.
  bool admits(const Launch& launch) const {
    if (size_ == kMost) return false;
    for (const int b : launch.outputs)
      if (overlaps(range(b), read_) || overlaps(range(b), written_)) return false;
    for (const int b : launch.inputs)
      if (overlaps(range(b), written_)) return false;
    return true;
  }
  void add(const Launch& launch) {
    for (const int b : launch.inputs) read_.push_back(range(b));
    for (const int b : launch.outputs) written_.push_back(range(b));
    work_ += launch.code.work;
    ++size_;
  }

 private:
  // A result that takes an argument's memory is that argument.
  Range range(int b) const {
    const PlanBuffer& buffer = plan_.buffers[static_cast<size_t>(b)];
    const auto arguments = static_cast<int64_t>(plan_.arguments.size());
    switch (buffer.kind) {
      case PlanBuffer::Kind::argument: return {buffer.index, 0, 1};
      case PlanBuffer::Kind::result: {
        const int donor = plan_.donor[static_cast<size_t>(buffer.index)];
        return {donor >= 0 ? donor : arguments + buffer.index, 0, 1};
      }
      case PlanBuffer::Kind::arena: break;
    }
    return {-1, buffer.index, buffer.index + static_cast<int64_t>(buffer.bytes)};
  }
  static bool overlaps(const Range& range, const std::vector<Range>& others) {
    for (const Range& other : others)
      if (range.overlaps(other)) return true;
    return false;
  }

  const Plan& plan_;
  std::vector<Range> read_, written_;
  double work_ = 0;
  size_t size_ = 0;
};

}  // namespace

void find_together(Plan& plan) {
  Batch batch(plan);
  size_t first = 0;
  const auto close = [&](size_t end) {
    if (batch.is_worth_it()) plan.launches[first].together = static_cast<int>(end - first);
    batch.clear();
    first = end;
  };
  for (size_t at = 0; at < plan.launches.size(); ++at) {
    const Launch& launch = plan.launches[at];
    const bool joins =
        launch.kind == Launch::Kind::kernel && launch.code.together && launch.workspace < 0;
    if (batch.size() && (!joins || plan.launches[first].code.together != launch.code.together ||
                         !batch.admits(launch)))
      close(at);
    if (joins)
      batch.add(launch);
    else
      first = at + 1;
  }
  close(plan.launches.size());
}

}  // namespace cairn::detail
