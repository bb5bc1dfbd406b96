// Kill -9 at random moments of a run of some seconds, in the middle of writing checkpoints too: the
// run goes on each time and ends with the weights of a run that nobody disturbed, bit for bit.
//
// Ten kills; a thousand with CAIRN_TEST_LONG=1 (./test --long); CAIRN_TEST_KILLS=N for any other
// number. A run that ends is compared, and the next begins in an empty folder.
#include <signal.h>
#include <sys/wait.h>

#include <chrono>
#include <cstdlib>
#include <thread>

#include "cairn/base/clock.h"
#include "cairn/train/checkpoint.h"
#include "tests/train/run_fixture.h"

namespace cairn {
namespace {

namespace fs = std::filesystem;
using test::RunTest;

int wanted_kills() {
  if (const char* n = std::getenv("CAIRN_TEST_KILLS")) return std::atoi(n);
  const char* longer = std::getenv("CAIRN_TEST_LONG");
  return longer && *longer == '1' ? 1000 : 10;
}

class KillTest : public RunTest {
 protected:
  // A process that trains into root/killed.
  pid_t start(const TrainConfig& c) const {
    const pid_t child = fork();
    if (child != 0) return child;
    Runtime runtime({.threads = 1});
    RunOptions options;
    options.folder = root / "killed";
    const auto result = run_training(runtime, c, options);
    if (!result) fprintf(stderr, "%s\n", result.error().what());
    _exit(result ? 0 : 1);
  }
  // What `child` writes a checkpoint into before it is renamed.
  fs::path beside(pid_t child) const {
    return root / "killed" / "checkpoints" / ("writing." + std::to_string(child));
  }
  int64_t last_step() const {
    const auto checkpoint = latest_checkpoint(root / "killed").value();
    return checkpoint ? checkpoint->step : 0;
  }
};

TEST_F(KillTest, KilledAtAnyMomentItEndsWithTheSameWeights) {
  TrainConfig c = config(300);
  c.train.checkpoint_every = 3;
  c.train.evaluate_every = 100;
  c.train.ema = 0.9;
  const double begin = monotonic_seconds();
  train(c, "straight");
  const double whole = monotonic_seconds() - begin;
  const std::string expected = bytes(root / "straight/model.safetensors");

  std::mt19937 random(7);
  const auto up_to = [&](double seconds) {
    return std::chrono::microseconds(random() % static_cast<int64_t>(seconds * 1e6 + 1));
  };
  const int wanted = wanted_kills();
  int kills = 0, in_writing = 0, finished = 0;
  while (kills < wanted) {
    const int64_t before = last_step();
    const pid_t child = start(c);
    int status = 0;
    bool ended = false;
    const auto has_ended = [&] { return ended = waitpid(child, &status, WNOHANG) == child; };
    if (random() % 2) {
      // At any moment of what five kills of a whole run leave to each.
      std::this_thread::sleep_for(up_to(whole / 5 * 2));
    } else {
      // Within the first millisecond of a checkpoint that comes after some time.
      std::this_thread::sleep_for(up_to(whole / 5));
      while (!has_ended() && access(beside(child).c_str(), F_OK) != 0) {
      }
      std::this_thread::sleep_for(up_to(0.001));
    }
    if (ended || has_ended()) {
      ASSERT_EQ(status, 0) << "after " << kills << " kills";
      ASSERT_TRUE(train(c, "killed").already_done);
      ASSERT_EQ(bytes(root / "killed/model.safetensors"), expected) << "after " << kills;
      ++finished;
      fs::remove_all(root / "killed");
      continue;
    }
    ::kill(child, SIGKILL);
    waitpid(child, &status, 0);
    ++kills;
    in_writing += fs::exists(beside(child));
    // A complete checkpoint is never lost.
    ASSERT_GE(last_step(), before) << "after " << kills << " kills";
  }
  EXPECT_TRUE(train(c, "killed").finished);
  EXPECT_EQ(bytes(root / "killed/model.safetensors"), expected);
  EXPECT_GT(in_writing, 0);
  printf("%d kills of a run of %.1f s, %d of them while a checkpoint was written, %d runs ended\n",
         kills, whole, in_writing, finished + 1);
}

}  // namespace
}  // namespace cairn
