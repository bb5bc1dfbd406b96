// PyTorch and JAX: a script of bench/peers in a child process that lives as long as the cases it is
// asked for, so that its turns alternate with ours.
//
//   it says      {"version":"torch 2.15.0"}                       or {"absent":"why"}
//   we ask       {"op","dtype","sizes":[...],"seconds"}           a line each, on its stdin
//   it answers   {"seconds":s}, the time of a call,               or {"cannot":"why"}
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "apps/cairn/bench_peers.h"
#include "apps/cairn/json.h"
#include "cairn/base/clock.h"
#include "cairn/base/environment.h"
#include "cairn/base/error.h"

extern char** environ;  // NOLINT(readability-redundant-declaration): POSIX leaves it to programs

namespace cairn::app {
namespace {

// The clone's, in which this program was built, or share/cairn of an installation.
std::string script_path(const std::string& script) {
  namespace fs = std::filesystem;
  std::error_code error;
  const fs::path prefix = fs::read_symlink("/proc/self/exe", error).parent_path().parent_path();
  for (const fs::path& folder : {prefix.parent_path().parent_path() / "bench" / "peers",
                                 prefix / "share" / "cairn" / "peers"})
    if (fs::exists(folder / script, error)) return (folder / script).string();
  throw_error(fmt::format("{} is not beside this program", script));
}

class Descriptor {
 public:
  explicit Descriptor(int number) : number_(number) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() { close(); }
  void close() {
    if (number_ >= 0) ::close(number_);
    number_ = -1;
  }
  int number() const { return number_; }

 private:
  int number_;
};

struct Pipe {
  explicit Pipe(const std::array<int, 2>& ends) : out(ends[0]), in(ends[1]) {}
  static std::array<int, 2> open() {
    std::array<int, 2> ends{};
    if (pipe2(ends.data(), O_CLOEXEC) != 0)
      throw_error(fmt::format("cannot make a pipe: {}", std::strerror(errno)));
    return ends;
  }
  Descriptor out, in;
};

class Child {
 public:
  explicit Child(std::vector<std::string> command) {
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, requests_.out.number(), STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, answers_.in.number(), STDOUT_FILENO);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    std::vector<char*> arguments;
    for (std::string& word : command) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    const int error =
        posix_spawnp(&process_, arguments[0], &actions, nullptr, arguments.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    if (error != 0) throw_error(fmt::format("cannot run '{}': {}", command[0], strerror(error)));
    requests_.out.close();
    answers_.in.close();
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() {
    kill(process_, SIGTERM);  // nothing that it does is worth waiting for
    while (waitpid(process_, nullptr, 0) < 0 && errno == EINTR) {
    }
  }

  void write_line(std::string text) {
    text += '\n';
    for (size_t at = 0; at < text.size();) {
      const ssize_t n = ::write(requests_.in.number(), text.data() + at, text.size() - at);
      if (n < 0 && errno != EINTR) throw_error("it has ended");
      at += static_cast<size_t>(std::max<ssize_t>(n, 0));
    }
  }

  std::string read_line(double seconds, const StopFlag& stop) {
    const double end = monotonic_seconds() + seconds;
    while (true) {
      if (const size_t newline = read_.find('\n'); newline != std::string::npos) {
        const std::string line = read_.substr(0, newline);
        read_.erase(0, newline + 1);
        return line;
      }
      stop.check();
      if (monotonic_seconds() > end)
        throw_error(fmt::format("no answer in {:.0f} seconds", seconds));
      constexpr int kMilliseconds = 200;  // between looks at the stop flag
      pollfd waiting{answers_.out.number(), POLLIN, 0};
      if (poll(&waiting, 1, kMilliseconds) <= 0) continue;
      std::array<char, 4096> buffer{};
      const ssize_t n = read(answers_.out.number(), buffer.data(), buffer.size());
      if (n == 0) throw_error("it has ended");
      if (n > 0) read_.append(buffer.data(), static_cast<size_t>(n));
    }
  }

 private:
  Pipe requests_{Pipe::open()}, answers_{Pipe::open()};
  pid_t process_ = -1;
  std::string read_;
};

class PythonPeer : public Peer {
 public:
  PythonPeer(const std::string& python, const std::string& script, int threads, Session& session)
      : session_(session),
        child_(std::make_unique<Child>(
            std::vector{python, script, std::string("--threads"), std::to_string(threads)})) {
    const Json hello = answer();
    if (hello.contains("absent")) throw_error(hello["absent"].get<std::string>());
    version_ = hello.value("version", "");
  }
  std::string version() const override { return version_; }

  std::string prepare(const BenchCase& work, std::span<const HostArray>,
                      const HostArray&) override {
    request_ = {{"op", work.op->name},
                {"dtype", cairn::name(work.dtype)},
                {"sizes", std::vector<int64_t>(work.sizes.begin(), work.sizes.end())}};
    try {
      ask(0);
      return {};
    } catch (const Error& error) {
      return error.what();
    }
  }
  double turn(double seconds) override { return ask(seconds); }

 private:
  double ask(double seconds) {
    if (!child_) throw_error("it has ended");
    request_["seconds"] = seconds;
    child_->write_line(request_.dump());
    const Json json = answer();
    if (json.contains("cannot")) throw_error(json["cannot"].get<std::string>());
    return json["seconds"].get<double>();
  }
  // A child that does not keep to the protocol is ended.
  Json answer() {
    constexpr double kPatience = 300;  // JAX compiles a large backward pass for a minute
    std::string line;
    try {
      line = child_->read_line(kPatience, session_.stop);
    } catch (const Error&) {
      child_.reset();
      throw;
    }
    Json json = Json::parse(line, nullptr, false);  // "discarded" where it is none
    for (const char* key : {"cannot", "absent", "version"})
      if (json.contains(key) && json[key].is_string()) return json;
    if (json.contains("seconds") && json["seconds"].is_number()) return json;
    child_.reset();
    throw_error(fmt::format("it answered '{}'", line.substr(0, 80)));
  }

  Session& session_;
  std::unique_ptr<Child> child_;
  std::string version_;
  Json request_;
};

}  // namespace

std::unique_ptr<Peer> open_python_peer(const std::string& script, int threads, Session& session) {
  const auto python = read_environment().peer_python;
  if (!python) throw_error("CAIRN_PEER_PYTHON names no Python");
  return std::make_unique<PythonPeer>(*python, script_path(script), threads, session);
}

}  // namespace cairn::app
