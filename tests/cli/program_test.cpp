// The parts of program.h, and the tests of the command line as a whole.
#include "tests/cli/program.h"

#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

#include "cairn/io/gguf.h"
#include "cairn/io/idx.h"
#include "cairn/io/image.h"
#include "cairn/io/npy.h"
#include "cairn/io/safetensors.h"
#include "cairn/models/language_model.h"
#include "cairn/text/train_bpe.h"

namespace cairn::test {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Two streams of the child that are read at once, so that neither fills up.
void read_streams(pid_t child, int out, int err, Ran& ran, const RunOptions& options) {
  const auto start = Clock::now();
  bool interrupted = false;
  size_t typed = 0, seen = 0;
  pollfd streams[2] = {{out, POLLIN, 0}, {err, POLLIN, 0}};
  std::string* texts[2] = {&ran.out, &ran.err};
  while (streams[0].fd >= 0 || streams[1].fd >= 0) {
    poll(streams, 2, 20);
    const std::string& text = options.interrupt_on;
    const bool now =
        (options.interrupt_after > 0 && seconds_since(start) > options.interrupt_after) ||
        (!text.empty() && (ran.out + ran.err).find(text) != std::string::npos);
    if (now && !interrupted) {
      kill(child, options.signal);
      interrupted = true;
    }
    if (seconds_since(start) > 120) kill(child, SIGKILL);
    if (typed < options.typed.size()) {
      const auto& [wait, keys] = options.typed[typed];
      if (const size_t at = ran.out.find(wait, seen); at != std::string::npos) {
        seen = at + wait.size();
        ++typed;
        EXPECT_EQ(::write(out, keys.data(), keys.size()), static_cast<ssize_t>(keys.size()));
      }
    }
    for (int i = 0; i < 2; ++i) {
      if (streams[i].fd < 0 || !(streams[i].revents & (POLLIN | POLLHUP | POLLERR))) continue;
      char buffer[1 << 14];
      const ssize_t count = read(streams[i].fd, buffer, sizeof(buffer));
      if (count > 0) {
        texts[i]->append(buffer, static_cast<size_t>(count));
      } else {
        close(streams[i].fd);
        streams[i].fd = -1;
      }
    }
  }
}

Ran run_process(std::vector<std::string> arguments, const RunOptions& options) {
  int out[2] = {-1, -1}, err[2] = {-1, -1}, terminal = -1, terminal_end = -1;
  if (options.terminal) {
    winsize size{40, 100, 0, 0};
    if (openpty(&terminal, &terminal_end, nullptr, nullptr, &size) != 0)
      throw std::runtime_error("no pseudo-terminal");
  } else if (pipe(out) != 0 || pipe(err) != 0) {
    throw std::runtime_error("no pipe");
  }
  const pid_t child = fork();
  if (child == 0) {
    if (chdir(options.folder.c_str()) != 0) _exit(126);
    for (const std::string& variable : options.environment) putenv(strdup(variable.c_str()));
    if (!options.typed.empty()) {
      setsid();
      ioctl(terminal_end, TIOCSCTTY, 0);
      dup2(terminal_end, 0);
    }
    if (options.terminal) {
      dup2(terminal_end, 1);
      dup2(terminal_end, 2);
    } else {
      dup2(options.stdout_path.empty() ? out[1] : open(options.stdout_path.c_str(), O_WRONLY), 1);
      dup2(err[1], 2);
    }
    for (int fd = 3; fd < 64; ++fd) close(fd);
    for (const int number : {SIGINT, SIGTERM, SIGHUP}) signal(number, SIG_DFL);  // nohup, `&`
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    execvp(argv[0], argv.data());
    _exit(127);
  }
  Ran ran;
  if (options.terminal) {
    close(terminal_end);
    read_streams(child, terminal, -1, ran, options);
  } else {
    close(out[1]);
    close(err[1]);
    read_streams(child, out[0], err[0], ran, options);
  }
  int state = 0;
  rusage usage{};
  wait4(child, &state, 0, &usage);
  ran.status = WIFEXITED(state) ? WEXITSTATUS(state) : 128 + WTERMSIG(state);
  ran.max_resident_bytes = int64_t{1024} * usage.ru_maxrss;
  return ran;
}

}  // namespace

nlohmann::json Ran::json() const {
  EXPECT_EQ(status, 0) << err;
  EXPECT_EQ(std::count(out.begin(), out.end(), '\n'), 1) << out;
  return nlohmann::json::parse(out);
}

Ran cairn(const std::vector<std::string>& arguments, const RunOptions& options) {
  std::vector<std::string> all = {CAIRN_PROGRAM};
  all.insert(all.end(), arguments.begin(), arguments.end());
  return run_process(std::move(all), options);
}

Ran shell(const std::string& line, const RunOptions& options) {
  RunOptions with_path = options;
  with_path.environment.push_back("PATH=" + fs::path(CAIRN_PROGRAM).parent_path().string() + ":" +
                                  std::getenv("PATH"));
  return run_process({"/bin/sh", "-c", line}, with_path);
}

void CliTest::write(const std::string& name, std::string_view bytes) const {
  std::ofstream(path(name), std::ios::binary)
      .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

std::string CliTest::read(const std::string& name) const {
  std::ifstream file(path(name), std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

void CliTest::SetUp() {
  folder_ =
      fs::temp_directory_path() / ("cairn-cli-" + std::to_string(getpid()) + "-" +
                                   testing::UnitTest::GetInstance()->current_test_info()->name());
  fs::remove_all(folder_);
  fs::create_directories(folder_);
  const auto floats = [](std::vector<float> values, Shape shape) {
    return HostArray::from<float>(values, shape);
  };
  io::write_npy(path("x.npy"), floats({1, 2, 3, 4, 5, 6, 7, 8}, {4, 2})).value();
  io::write_npy(path("w.npy"),
                floats({0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, {2, 8}))
      .value();
  io::write_npy(path("lr.npy"), floats({0.5f}, {})).value();
  write("step.graph",
        "graph @step(%x: f32[4,2], %w: f32[2,8], %lr: f32[]) -> (f32[4,8], f32[2,8]) {\n"
        "  %y = matmul(%x, %w) {accumulate=f32}\n"
        "  %s = broadcast(%lr) {shape=[2,8], axes=[]}\n"
        "  %u = multiply(%w, %s)\n"
        "  return %y, %u\n"
        "}\n");
  HostArray half(DType::bf16, {4});
  for (int i = 0; i < 4; ++i)
    half.mutable_span<BFloat16>()[static_cast<size_t>(i)] = BFloat16(0.5f * static_cast<float>(i));
  const std::vector<io::NamedArray> weights = {
      {"w", floats({1, 2, 3, 4, 5, 6}, {2, 3})},
      {"h", half},
      {"n", HostArray::from<int64_t>(std::vector<int64_t>{7}, {})}};
  io::write_safetensors(path("weights.safetensors"), weights, {{"made_by", "a test"}}).value();

  const auto matrix = [&](const std::string& name, int64_t rows, int64_t columns) {
    return io::GgufSource{name, io::find_gguf_type("F32"), {rows, columns}, [rows, columns] {
                            std::string bytes(static_cast<size_t>(4 * rows * columns), '\0');
                            for (size_t i = 0; i < bytes.size() / 4; ++i) {
                              const float x = std::sin(0.37f * static_cast<float>(i));
                              std::memcpy(bytes.data() + 4 * i, &x, 4);
                            }
                            return SharedBytes(std::move(bytes));
                          }};
  };
  io::write_gguf(path("model.gguf"),
                 {{"general.architecture", io::GgufValue::from_text("llama")},
                  {"llama.block_count", io::GgufValue::from_number(uint32_t{8})}},
                 {matrix("token_embd.weight", 24, 256), matrix("blk.0.attn_v.weight", 16, 256),
                  matrix("blk.1.attn_v.weight", 16, 256), matrix("blk.0.attn_norm.weight", 1, 256),
                  matrix("blk.0.ffn_down.weight", 16, 96), matrix("output.weight", 24, 256)})
      .value();

  write("story.txt", "Once upon a time there was a stone.\nIt lay on another stone.\n");
  const std::string_view document = "Once upon a time";
  const std::string special[] = {"<|endoftext|>"};
  const auto tokenizer = text::train_bpe(std::span(&document, 1), 257, special);
  text::save_tokenizer(*tokenizer, folder_).value();

  // Pixel i % 3 of picture i is the brightest; the last label is wrong.
  std::vector<uint8_t> pixels, labels;
  for (int i = 0; i < 6; ++i) {
    for (int p = 0; p < 3; ++p) pixels.push_back(static_cast<uint8_t>(p == i % 3 ? 200 : 10 * p));
    labels.push_back(static_cast<uint8_t>(i == 5 ? 0 : i % 3));
  }
  for (const char* part : {"train", "t10k"}) {
    io::write_idx(path(std::string(part) + "-images-idx3-ubyte.gz"),
                  HostArray::from<uint8_t>(pixels, {6, 1, 3}))
        .value();
    io::write_idx(path(std::string(part) + "-labels-idx1-ubyte.gz"),
                  HostArray::from<uint8_t>(labels, {6}))
        .value();
  }
  fs::create_directory(path("classifier"));
  write(
      "classifier/config.json",
      R"({"model_type": "cairn_mlp", "image": [1, 1, 3], "classes": 3, "hidden": [], "channels": [], "mean": 0.25, "deviation": 0.5})");
  const std::vector<io::NamedArray> dense = {
      {"dense.0.weight", floats({1, 0, 0, 0, 1, 0, 0, 0, 1}, {3, 3})},
      {"dense.0.bias", floats({0, 0, 0}, {3})}};
  io::write_safetensors(path("classifier/model.safetensors"), dense).value();

  fs::create_directory(path("llama"));
  TransformerConfig config;
  config.vocabulary = tokenizer->vocabulary_size();
  config.context = 48;
  config.layers = 1;
  config.heads = 2;
  config.kv_heads = 1;
  config.width = 16;
  config.head_width = 8;
  config.hidden = 32;
  Transformer model(config);
  Runtime runtime({.threads = 1});
  initialize(runtime, model, 7);
  save_language_model(path("llama"), model, tokenizer.get()).value();

  HostArray picture(DType::u8, {8, 12, 3});
  for (int i = 0; i < 8 * 12 * 3; ++i)
    picture.mutable_span<uint8_t>()[static_cast<size_t>(i)] = static_cast<uint8_t>(i);
  io::write_png(path("picture.png"), picture).value();
  write("table.csv", "length,kind\n1.5,a\n2.5,b\n4.5,a\n");
  write("lines.jsonl", "{\"text\": \"one\"}\n{\"text\": \"two two\"}\n");
  write("shakespeare.toml",
        "[model]\nfamily = \"gpt\"\nlayers = 1\nheads = 1\nwidth = 8\ncontext = 8\n"
        "[data]\ntext = [\"story.txt\"]\ntokenizer = \"char\"\nvalidation = 0.0\n[train]\nsteps = "
        "3\nbatch = 2\n");
}

void CliTest::TearDown() { fs::remove_all(folder_); }

testing::AssertionResult fails(const Ran& ran, int status, const std::string& what) {
  const auto shown = [&] {
    return "status " + std::to_string(ran.status) + ", stdout: '" + ran.out + "', stderr: '" +
           ran.err + "'";
  };
  if (ran.status != status)
    return testing::AssertionFailure() << "expected status " << status << "; " << shown();
  if (!ran.out.empty()) return testing::AssertionFailure() << "stdout should be empty; " << shown();
  if (ran.err.find("cairn: error: ") == std::string::npos ||
      ran.err.find(what) == std::string::npos)
    return testing::AssertionFailure() << "expected the error '" << what << "'; " << shown();
  return testing::AssertionSuccess();
}

namespace {

const std::vector<std::string> kCommands = {"",
                                            "demo",
                                            "train",
                                            "generate",
                                            "chat",
                                            "eval",
                                            "eval logits",
                                            "eval perplexity",
                                            "eval accuracy",
                                            "tokenize",
                                            "quantize",
                                            "convert",
                                            "inspect",
                                            "data",
                                            "data list",
                                            "data preview",
                                            "data pull",
                                            "graph",
                                            "graph ops",
                                            "graph show",
                                            "graph run",
                                            "kernel",
                                            "kernel list",
                                            "kernel show",
                                            "kernel explain",
                                            "kernel run",
                                            "kernel tune",
                                            "probe",
                                            "trace",
                                            "bench",
                                            "bench ops",
                                            "bench llm"};
const std::vector<std::string> kLater = {"serve", "finetune", "plan", "play", "embed"};

class CommandLineTest : public CliTest {};

// "cairn ..." lines under "Example:".
std::vector<std::string> examples_of(const std::string& help) {
  std::vector<std::string> lines;
  std::istringstream text(help.substr(help.find("Example:")));
  for (std::string line; std::getline(text, line);)
    if (line.starts_with("  cairn ")) lines.push_back(line.substr(2));
  return lines;
}

TEST_F(CommandLineTest, EveryCommandHasHelp) {
  for (const std::string& command : kCommands) {
    SCOPED_TRACE(command);
    const Ran ran = shell("cairn " + command + " --help");
    EXPECT_EQ(ran.status, 0);
    EXPECT_EQ(ran.err, "");
    EXPECT_NE(ran.out.find("usage: cairn"), std::string::npos) << ran.out;
    ASSERT_NE(ran.out.find("Example:"), std::string::npos) << ran.out;
    EXPECT_FALSE(examples_of(ran.out).empty()) << ran.out;
    EXPECT_EQ(ran.out.find('\033'), std::string::npos) << "colour in a pipe";
  }
}

// What a help shows works as it stands, where the files that it names are.
TEST_F(CommandLineTest, EveryExampleWorks) {
  std::filesystem::copy_file(path("llama/tokenizer.json"), path("tok.json"));
  write("llama/chat_template.jinja", "{{ messages[-1].content }}");
  for (const std::string& command : kCommands) {
    if (command.empty() || command == "demo") continue;  // minutes of training
    if (command == "data pull") continue;                // asks a server; pull_test.cpp has one
    const Ran help = shell("cairn " + command + " --help");
    ASSERT_NE(help.out.find("Example:"), std::string::npos) << command;
    for (std::string line : examples_of(help.out)) {
      SCOPED_TRACE(line);
      // The checkpoint that examples name is not ours to ship.
      for (size_t at; (at = line.find("stories260K.bin")) != std::string::npos;)
        line.replace(at, 15, "llama");
      if (const size_t at = line.find(" MODEL "); at != std::string::npos)
        line.replace(at, 7, " llama ");
      const Ran ran = shell(line + " < /dev/null", {.folder = path("")});
      EXPECT_EQ(ran.status, 0) << ran.err;
    }
  }
}

TEST_F(CommandLineTest, Version) {
  const Ran text = run({"--version"});
  EXPECT_EQ(text.status, 0);
  EXPECT_TRUE(text.out.starts_with("cairn 0.")) << text.out;
  const auto json = run({"--version", "--json"}).json();
  EXPECT_TRUE(json["version"].is_string());
  EXPECT_TRUE(json["build"].is_string());
  EXPECT_EQ(json["targets"], nlohmann::json({"baseline", "avx2", "avx512"}));
  EXPECT_TRUE(json["devices"] == nlohmann::json({"cpu", "ref", "null"}) ||
              json["devices"] == nlohmann::json({"ref", "null"}))
      << json["devices"];
  for (const auto& device : json["devices"])
    EXPECT_EQ(run({"graph", "run", "step.graph", "--in", "x=x.npy", "w=w.npy", "lr=lr.npy",
                   "--device", device, "--json"})
                  .status,
              0)
        << device;
}

// What needs values says so before it does anything; what plans or computes nothing works.
TEST_F(CommandLineTest, TheNullDeviceComputesNothing) {
  const std::string pictures = "t10k-images-idx3-ubyte.gz --labels t10k-labels-idx1-ubyte.gz";
  const std::vector<std::string> refused = {
      "demo story.txt --steps 4 --out out",
      "train shakespeare.toml --out out",
      "generate --model llama --ids 1",
      "eval logits --model llama --ids 1 --out out.npy",
      "eval perplexity --model llama --file story.txt",
      "eval accuracy --model classifier --images " + pictures,
      "inspect classifier --activations dense.0 --input t10k-images-idx3-ubyte.gz",
      "bench ops --peers none --html out"};
  for (const std::string& command : refused) {
    SCOPED_TRACE(command);
    for (const char* traced : {"", "trace t.json "}) {
      const Ran ran =
          shell(std::string("cairn ") + traced + command + " --device null", {.folder = path("")});
      EXPECT_TRUE(fails(ran, 1, "the null device plans and computes nothing"));
    }
    EXPECT_FALSE(fs::exists(path("out")) || fs::exists(path("out.npy")));
  }
  const std::vector<std::string> works = {"graph run step.graph --repeat 3",
                                          "graph run step.graph --grad x",
                                          "graph show step.graph --schedule",
                                          "graph show --model llama --schedule --grad",
                                          "graph ops",
                                          "inspect llama",
                                          "inspect llama --verify",
                                          "data list",
                                          "data preview story.txt",
                                          "tokenize --model llama --text a",
                                          "probe --seconds 0.1",
                                          "trace t.json graph run step.graph"};
  for (const std::string& command : works) {
    SCOPED_TRACE(command);
    const Ran ran = shell("cairn " + command + " --device null", {.folder = path("")});
    EXPECT_EQ(ran.status, 0) << ran.err;
  }
}

TEST_F(CommandLineTest, PrecisionIsForWhatComputes) {
  for (const char* command :
       {"graph ops", "data list", "data preview story.txt", "tokenize --model llama --text a",
        "inspect llama", "inspect llama --verify", "probe"}) {
    SCOPED_TRACE(command);
    const std::string line = std::string("cairn ") + command + " --precision ";
    EXPECT_TRUE(fails(shell(line + "bf16", {.folder = path("")}), 2, "--precision"));
  }
  EXPECT_EQ(run({"graph", "ops", "--precision", "f32"}).status, 0);
}

TEST_F(CommandLineTest, QuantizeIsForLanguageModels) {
  EXPECT_TRUE(fails(run({"eval", "accuracy", "--model", "classifier", "--images", "a", "--labels",
                         "b", "--quantize", "Q4_K"}),
                    2, "--quantize is for language models"));
}

TEST_F(CommandLineTest, MistakesNameTheNearest) {
  EXPECT_TRUE(fails(run({}), 2, "needs a command"));
  EXPECT_TRUE(fails(run({"tokenise"}), 2, "did you mean 'tokenize'?"));
  EXPECT_TRUE(fails(run({"graph", "shwo", "step.graph"}), 2, "did you mean 'show'?"));
  EXPECT_TRUE(fails(run({"graph"}), 2, "cairn graph needs a command"));
  EXPECT_TRUE(fails(run({"inspect", "step.graph", "--verfy"}), 2, "did you mean '--verify'?"));
  EXPECT_TRUE(
      fails(run({"graph", "run", "step.graph", "--repaet=3"}), 2, "did you mean '--repeat'?"));
  EXPECT_TRUE(fails(run({"inspect"}), 2, "PATH is required"));
  EXPECT_TRUE(fails(run({"inspect", "a", "b"}), 2, "takes no further 'b'"));
  EXPECT_TRUE(fails(run({"generate", "--prompt", "x"}), 2, "--model is required"));
}

TEST_F(CommandLineTest, CommonOptionsAreChecked) {
  const std::vector<std::string> command = {"graph", "ops"};
  const auto with = [&](std::vector<std::string> more) {
    std::vector<std::string> all = command;
    all.insert(all.end(), more.begin(), more.end());
    return run(all);
  };
  EXPECT_TRUE(fails(with({"--threads", "0"}), 2, "--threads takes a number of at least 1"));
  EXPECT_TRUE(fails(with({"--threads", "two"}), 2, "whole number"));
  EXPECT_TRUE(fails(with({"--threads", "5000"}), 2, "at most 4096"));
  EXPECT_TRUE(fails(with({"--threads"}), 2, "--threads"));
  EXPECT_TRUE(fails(with({"--device", "gpu"}), 2, "--device 'gpu' is not known"));
  EXPECT_TRUE(fails(with({"--device", "cuda:x"}), 2, "--device"));
  EXPECT_TRUE(fails(with({"--precision", "f64"}), 2, "--precision 'f64' is not known"));
  EXPECT_TRUE(fails(with({"--seed", "-1"}), 2, "--seed"));
  // Known, and not in this build: the command line is right.
  EXPECT_TRUE(fails(run({"graph", "run", "step.graph", "--device", "cuda:1"}), 1,
                    "device 'cuda:1' is not in this build"));
  EXPECT_EQ(with({"--threads", "2", "--device", "ref", "--precision", "f32", "--seed",
                  "18446744073709551615", "--quiet"})
                .err,
            "");
}

TEST_F(CommandLineTest, WhatIsNotBuiltYetSaysSo) {
  for (const std::string& command : kLater) {
    SCOPED_TRACE(command);
    for (const char* more : {"", " --help", " --json"}) {
      const Ran ran = shell("cairn " + command + more);
      EXPECT_TRUE(fails(ran, 2, "is not in this version of cairn"));
      EXPECT_EQ(std::count(ran.err.begin(), ran.err.end(), '\n'), 1) << ran.err;
    }
  }
}

TEST_F(CommandLineTest, AFullDiskIsAnError) {
  for (const std::vector<std::string>& command :
       std::vector<std::vector<std::string>>{{"--version"},
                                             {"--help"},
                                             {"graph", "--help"},
                                             {"graph", "ops"},
                                             {"graph", "ops", "--json"},
                                             {"data", "list"},
                                             {"inspect", "x.npy"},
                                             {"inspect", "x.npy", "--json"},
                                             {"data", "preview", "table.csv"}}) {
    SCOPED_TRACE(command[0]);
    const Ran ran = cairn(command, {.folder = path(""), .stdout_path = "/dev/full"});
    EXPECT_TRUE(fails(ran, 1, "cannot write the results to stdout: No space left on device"));
  }
  EXPECT_TRUE(fails(run({"inspect", "weights.safetensors", "--tensor", "w", "--out", "/dev/full"}),
                    1, "No space left"));
  EXPECT_TRUE(fails(run({"eval", "logits", "--model", "llama", "--ids", "1", "--out", "/dev/full"}),
                    1, "No space left"));
}

TEST_F(CommandLineTest, AClosedPipeIsQuiet) {
  const Ran ran =
      shell("{ cairn graph ops --json --quiet; echo status $? >&2; } | head -c 10 >/dev/null",
            {.folder = path("")});
  EXPECT_TRUE(ran.err == "status 1\n" || ran.err == "status 0\n")
      << ran.err;  // 0: all fitted the pipe
  // A reader that is gone before anything is written.
  const Ran gone =
      shell("{ sleep 0.3; cairn graph ops --json --quiet; echo status $? >&2; } | true",
            {.folder = path("")});
  EXPECT_EQ(gone.err, "status 1\n");
}

TEST_F(CommandLineTest, ColourIsForTerminals) {
  const RunOptions terminal = {.folder = path(""), .environment = {"TERM=xterm"}, .terminal = true};
  EXPECT_NE(cairn({"data", "list"}, terminal).out.find("\033["), std::string::npos);
  RunOptions plain = terminal;
  plain.environment.push_back("NO_COLOR=1");
  EXPECT_EQ(cairn({"data", "list"}, plain).out.find("\033["), std::string::npos);
  RunOptions dumb = terminal;
  dumb.environment = {"TERM=dumb"};
  EXPECT_EQ(cairn({"data", "list"}, dumb).out.find("\033["), std::string::npos);
  RunOptions ascii = terminal;
  ascii.environment.push_back("LC_ALL=C");
  for (const char c : cairn({"data", "list"}, ascii).out) EXPECT_GE(c, 0);
  EXPECT_EQ(run({"data", "list"}).out.find('\033'), std::string::npos);
  EXPECT_EQ(run({"data", "list"}).err.find('\033'), std::string::npos);
}

TEST_F(CommandLineTest, InterruptedIs130) {
  const Ran probe =
      cairn({"probe", "--seconds", "100", "--json"}, {.folder = path(""), .interrupt_after = 1});
  EXPECT_EQ(probe.status, 130);
  EXPECT_EQ(probe.out, "");
  const Ran terminated = cairn({"probe", "--seconds", "100"},
                               {.folder = path(""), .interrupt_after = 1, .signal = SIGTERM});
  EXPECT_EQ(terminated.status, 143);
  // Interrupted, a trace is still whole. It has begun when it says how many runs there were.
  const Ran trace = cairn({"trace", "t.json", "graph", "run", "step.graph", "--in", "x=x.npy",
                           "w=w.npy", "lr=lr.npy", "--repeat", "1000000000"},
                          {.folder = path(""), .interrupt_on = " of 1000000000"});
  EXPECT_EQ(trace.status, 130) << trace.err;
  const size_t said = trace.err.find("run ");
  ASSERT_NE(said, std::string::npos) << trace.err;
  const long runs = std::stol(trace.err.substr(said + 4));
  // Of each run two launches, the product and scaling, on a line each; hundreds of MB in all, which
  // are not held.
  std::ifstream events(path("t.json"));
  EXPECT_GE(std::count(std::istreambuf_iterator<char>(events), {}, '\n'), 2 * runs);
  events.seekg(0);
  EXPECT_TRUE(nlohmann::json::accept(events));
}

}  // namespace
}  // namespace cairn::test
