// Twice: as it is, and with the checksum of each header made right.
#include <cstdio>

#include "cairn/io/tar.h"
#include "tests/fuzz/io_touch.h"

namespace {

void repair(std::string& tar) {
  for (size_t at = 0; at + 512 <= tar.size(); at += 512) {
    if (tar.compare(at + 257, 5, "ustar") != 0) continue;
    unsigned sum = 8 * ' ';
    for (size_t i = 0; i < 512; ++i)
      if (i < 148 || i >= 156) sum += static_cast<unsigned char>(tar[at + i]);
    char digits[8];
    std::snprintf(digits, sizeof digits, "%06o", sum & 0777777);
    tar.replace(at + 148, 7, digits, 7);
  }
}

void parse(const std::string& text) {
  using namespace cairn;
  const auto file = io::TarFile::parse(SharedBytes(text), "fuzz");
  if (!file) return;
  for (const io::TarEntry& entry : file.value().entries()) {
    fuzz::touch(file.value().bytes(entry).bytes());
    CAIRN_ASSERT(file.value().find(entry.name) != nullptr);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string text(reinterpret_cast<const char*>(data), size);
  parse(text);
  repair(text);
  parse(text);
  return 0;
}
