// Object files linked in memory.
#include <fmt/format.h>
#include <llvm/ExecutionEngine/JITEventListener.h>
#include <llvm/ExecutionEngine/RuntimeDyld.h>
#include <llvm/ExecutionEngine/SectionMemoryManager.h>
#include <llvm/Object/ObjectFile.h>
#include <llvm/Support/MemoryBuffer.h>

#include "cairn/base/error.h"
#include "cairn/compiler/kernel_compiler.h"
#include "cairn/compiler/llvm/emitter.h"

namespace cairn {
namespace {

class Memory : public llvm::SectionMemoryManager {
 public:
  uint64_t getSymbolAddress(const std::string& name) override {
    return reinterpret_cast<uint64_t>(compiler::runtime_function(name));
  }
};

struct Linked {
  Memory memory;
  std::unique_ptr<llvm::RuntimeDyld> linker;
  ~Linked() { memory.deregisterEHFrames(); }
};

}  // namespace

CompiledKernel link_kernel(const std::string& object, const std::string& function) {
  const auto bytes = llvm::MemoryBuffer::getMemBuffer(object, "", false);
  auto parsed = llvm::object::ObjectFile::createObjectFile(bytes->getMemBufferRef());
  if (!parsed)
    throw_error("the compiled kernel is not an object file: " + llvm::toString(parsed.takeError()));
  auto linked = std::make_shared<Linked>();
  llvm::RuntimeDyld& linker =
      *(linked->linker = std::make_unique<llvm::RuntimeDyld>(linked->memory, linked->memory));
  const auto info = linker.loadObject(**parsed);
  if (!linker.hasError()) linker.resolveRelocations();
  const auto symbol = linker.getSymbol(function);
  if (linker.hasError() || !symbol)
    throw_error(fmt::format("the compiled kernel '{}' does not link: {}", function,
                            linker.hasError() ? std::string(linker.getErrorString())
                                              : std::string("it is not in its object file")));
  std::string problem;
  if (linked->memory.finalizeMemory(&problem))
    throw_error("memory for a compiled kernel cannot be made executable: " + problem);
  CompiledKernel kernel;
  kernel.run = reinterpret_cast<CompiledFunction>(linker.getSymbolLocalAddress(function));
  kernel.code_bytes = object.size();
  kernel.owner = std::move(linked);
  return kernel;
}

}  // namespace cairn
