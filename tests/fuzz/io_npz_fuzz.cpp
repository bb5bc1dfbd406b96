#include "cairn/io/npy.h"
#include "tests/fuzz/io_touch.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace cairn;
  const SharedBytes bytes = fuzz::shared(data, size);
  const auto zip = io::ZipFile::parse(bytes, "fuzz");
  if (!zip) return 0;
  for (const io::ZipMember& member : zip.value().members()) {
    if (const auto content = zip.value().read(member, 1 << 24))
      fuzz::touch(content.value().bytes());
  }
  const auto npz = io::NpzFile::parse(bytes, "fuzz", 1 << 24);
  for (const std::string& name : npz.value().names())
    if (const auto array = npz.value().read(name)) fuzz::touch(array.value());
  return 0;
}
