// Drives a fuzz target where libFuzzer is not linked: replays the seeds of a corpus folder, then
// mutates them until the time is up. No coverage guides it; what it gives is a check that any
// compiler can build and that finds shallow faults in two seconds, the same ones on every machine.
//
//   fuzz_NAME CORPUS-FOLDER      and in the environment CAIRN_FUZZ_SECONDS (2), CAIRN_FUZZ_SEED (1)
//   fuzz_NAME FILE...            runs these inputs once: how a fault is looked at again
//
// A target may throw cairn::Error: that is how input is refused. Anything else (another exception,
// a failed assertion, a signal, an input that takes 20 s of processor time or makes the process
// exceed 2 GiB) is a fault; the input is then in `fuzz_NAME.input`. It lies in a mapped file, so
// even a process that a signal ended leaves it behind.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <random>
#include <string>
#include <typeinfo>
#include <vector>

#include "cairn/base/clock.h"
#include "cairn/base/error.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

using Input = std::vector<uint8_t>;
namespace fs = std::filesystem;

constexpr size_t kMaxInput = 1 << 20;
constexpr double kMaxSeconds = 20;
constexpr long kMaxResidentKiB = 2l << 20;

// The input now running, in a file that outlives the process.
class CurrentInput {
 public:
  explicit CurrentInput(std::string path) : path_(std::move(path)) {
    fd_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_TRUNC, 0644);
    if (fd_ < 0 || ::ftruncate(fd_, kMaxInput) != 0) fail();
    memory_ = ::mmap(nullptr, kMaxInput, PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0);
    if (memory_ == MAP_FAILED) fail();
  }
  CurrentInput(const CurrentInput&) = delete;
  CurrentInput& operator=(const CurrentInput&) = delete;
  ~CurrentInput() {
    ::munmap(memory_, kMaxInput);
    ::close(fd_);
    if (!keep_) ::unlink(path_.c_str());
  }
  void set(const Input& input) {
    size_ = input.size();
    std::copy(input.begin(), input.end(), static_cast<uint8_t*>(memory_));
  }
  // For an input that returned and is a fault: cut to its size and kept.
  const std::string& keep() {
    keep_ = true;
    if (::ftruncate(fd_, static_cast<off_t>(size_)) != 0) fail();
    return path_;
  }

 private:
  [[noreturn]] void fail() {
    std::perror(path_.c_str());
    std::exit(1);
  }
  std::string path_;
  int fd_ = -1;
  void* memory_ = nullptr;
  size_t size_ = 0;
  bool keep_ = false;
};

// Empty when all is well, else what is wrong.
std::string run(const Input& input) {
  // A block of exactly the input's size, so that a sanitizer sees a read beyond it.
  const Input copy(input);
  const std::clock_t start = std::clock();
  try {
    LLVMFuzzerTestOneInput(copy.data(), copy.size());
  } catch (const cairn::InternalError& error) {
    return error.what();
  } catch (const cairn::Error&) {
  } catch (const std::exception& error) {
    return std::string(typeid(error).name()) + ": " + error.what();
  }
  const double seconds = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
  if (seconds > kMaxSeconds) return "it took " + std::to_string(seconds) + " s";
  rusage usage;
  ::getrusage(RUSAGE_SELF, &usage);
  if (usage.ru_maxrss > kMaxResidentKiB)
    return "the process has taken " + std::to_string(usage.ru_maxrss >> 10) + " MiB";
  return "";
}

class Mutator {
 public:
  Mutator(const std::vector<Input>& seeds, uint64_t seed) : seeds_(seeds), random_(seed) {}

  Input next() {
    Input input = seeds_[below(seeds_.size())];
    // Mostly few changes, sometimes many.
    for (size_t n = size_t{1} << below(5); n > 0; --n) change(input);
    if (input.size() > kMaxInput) input.resize(kMaxInput);
    return input;
  }

 private:
  size_t below(size_t n) { return n == 0 ? 0 : random_() % n; }

  void change(Input& input) {
    const size_t at = below(input.size());
    switch (below(9)) {
      case 0:
        if (!input.empty()) input[at] ^= static_cast<uint8_t>(1u << below(8));
        break;
      case 1:
        if (!input.empty()) input[at] = static_cast<uint8_t>(random_());
        break;
      case 2: input.resize(at); break;
      case 3: put_number(input, at); break;
      case 4: erase(input, at); break;
      case 5: insert(input, at, input); break;
      case 6: insert(input, at, seeds_[below(seeds_.size())]); break;
      case 7: splice(input, at, seeds_[below(seeds_.size())]); break;
      default: change_digit(input, at);
    }
  }

  // A number at which sizes and signs go wrong, in either byte order.
  void put_number(Input& input, size_t at) {
    static constexpr std::array<uint64_t, 14> kNumbers = {0,
                                                          1,
                                                          2,
                                                          0x7f,
                                                          0x80,
                                                          0xff,
                                                          0x7fff,
                                                          0x80000000,
                                                          0xffffffff,
                                                          0x7fffffff,
                                                          ~uint64_t{0},
                                                          uint64_t{1} << 62,
                                                          0xffff,
                                                          ~uint64_t{0} >> 1};
    uint64_t value = kNumbers[below(kNumbers.size())] + below(3) - 1;
    const size_t bytes = std::min(size_t{1} << below(4), input.size() - at);
    const bool big = below(2);
    for (size_t i = 0; i < bytes; ++i, value >>= 8)
      input[big ? at + bytes - 1 - i : at + i] = static_cast<uint8_t>(value);
  }

  size_t piece(size_t available) { return std::min(available, 1 + below(size_t{1} << below(10))); }
  void erase(Input& input, size_t at) {
    const auto begin = input.begin() + static_cast<ptrdiff_t>(at);
    input.erase(begin, begin + static_cast<ptrdiff_t>(piece(input.size() - at)));
  }
  void insert(Input& input, size_t at, const Input& from) {
    const size_t begin = below(from.size());
    const Input part(from.begin() + static_cast<ptrdiff_t>(begin),
                     from.begin() + static_cast<ptrdiff_t>(begin + piece(from.size() - begin)));
    input.insert(input.begin() + static_cast<ptrdiff_t>(at), part.begin(), part.end());
  }
  // This input's beginning, the other's end.
  void splice(Input& input, size_t at, const Input& other) {
    input.resize(at);
    input.insert(input.end(), other.begin() + static_cast<ptrdiff_t>(below(other.size())),
                 other.end());
  }
  // Text formats hold their sizes in digits.
  void change_digit(Input& input, size_t at) {
    const auto digit = std::find_if(input.begin() + static_cast<ptrdiff_t>(at), input.end(),
                                    [](uint8_t c) { return c >= '0' && c <= '9'; });
    if (digit == input.end()) return;
    *digit = static_cast<uint8_t>('0' + below(10));
    if (below(4) == 0) input.insert(digit, below(24), '9');
  }

  const std::vector<Input>& seeds_;
  std::mt19937_64 random_;
};

Input read(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  Input input((std::istreambuf_iterator<char>(file)), {});
  if (input.size() > kMaxInput) input.resize(kMaxInput);
  return input;
}

double number_from_environment(const char* name, double otherwise) {
  const char* text = std::getenv(name);
  return text && *text ? std::atof(text) : otherwise;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string name = fs::path(argv[0]).filename().string();
  std::vector<fs::path> files;
  bool mutate = false;
  for (int i = 1; i < argc; ++i) {
    if (fs::is_directory(argv[i])) {
      mutate = true;
      for (const auto& entry : fs::directory_iterator(argv[i])) files.push_back(entry.path());
    } else {
      files.emplace_back(argv[i]);
    }
  }
  std::sort(files.begin(), files.end());
  std::vector<Input> seeds;
  for (const fs::path& file : files) seeds.push_back(read(file));
  if (seeds.empty()) {
    std::fprintf(stderr, "%s: no inputs; give a corpus folder or files\n", name.c_str());
    return 2;
  }
  std::optional<CurrentInput> current;
  if (mutate) current.emplace(name + ".input");
  uint64_t runs = 0;
  const auto passes = [&](const Input& input, const std::string& what) {
    if (current) current->set(input);
    const std::string fault = run(input);
    ++runs;
    if (fault.empty()) return true;
    std::fprintf(stderr, "%s: fault at %s: %s\n", name.c_str(), what.c_str(), fault.c_str());
    if (current)
      std::fprintf(stderr, "%s: the input is in %s\n", name.c_str(), current->keep().c_str());
    return false;
  };
  if (!passes({}, "the empty input")) return 1;
  for (size_t i = 0; i < seeds.size(); ++i)
    if (!passes(seeds[i], files[i].string())) return 1;
  if (mutate) {
    Mutator mutator(seeds, static_cast<uint64_t>(number_from_environment("CAIRN_FUZZ_SEED", 1)));
    const double end =
        cairn::monotonic_seconds() + number_from_environment("CAIRN_FUZZ_SECONDS", 2);
    while (cairn::monotonic_seconds() < end)
      if (!passes(mutator.next(), "input " + std::to_string(runs))) return 1;
  }
  std::printf("%s: %zu seeds, %llu inputs, no fault\n", name.c_str(), seeds.size(),
              static_cast<unsigned long long>(runs));
  return 0;
}
