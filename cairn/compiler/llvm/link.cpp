// Object files linked in memory.
#include <fmt/format.h>
#include <llvm/ExecutionEngine/JITEventListener.h>
#include <llvm/ExecutionEngine/RuntimeDyld.h>
#include <llvm/ExecutionEngine/SectionMemoryManager.h>
#include <llvm/Object/ELFObjectFile.h>
#include <llvm/Object/ObjectFile.h>
#include <llvm/Support/MemoryBuffer.h>

#include <atomic>

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

// True from the first kernel until the program ends.
std::atomic<bool> debugger_lives = false;

// One for all; it has a lock of its own. It is a static object of LLVM's, which ends before those
// that were made before it: a static Runtime and its kernels.
llvm::JITEventListener& debugger() {
  struct Debugger {
    llvm::JITEventListener* listener = llvm::JITEventListener::createGDBRegistrationListener();
    Debugger() { debugger_lives = true; }
    ~Debugger() { debugger_lives = false; }
  };
  static const Debugger debugger;
  return *debugger.listener;
}

struct Linked {
  Memory memory;
  std::unique_ptr<llvm::RuntimeDyld> linker;
  uint64_t key() const { return reinterpret_cast<uint64_t>(this); }
  ~Linked() {
    if (debugger_lives) debugger().notifyFreeingObject(key());
    memory.deregisterEHFrames();
  }
};

size_t size_of_function(const llvm::object::ObjectFile& object, const std::string& name) {
  const auto* elf = llvm::dyn_cast<llvm::object::ELFObjectFileBase>(&object);
  if (!elf) return 0;
  for (const llvm::object::ELFSymbolRef symbol : elf->symbols()) {
    if (symbol.getELFType() != llvm::ELF::STT_FUNC) continue;  // the file has the name too
    auto found = symbol.getName();
    if (found && *found == name) return symbol.getSize();
    llvm::consumeError(found.takeError());
  }
  return 0;
}

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
  debugger().notifyObjectLoaded(linked->key(), **parsed, *info);
  CompiledKernel kernel;
  kernel.function_bytes = size_of_function(**parsed, function);
  kernel.run = reinterpret_cast<CompiledFunction>(linker.getSymbolLocalAddress(function));
  kernel.code_bytes = object.size();
  kernel.owner = std::move(linked);
  return kernel;
}

}  // namespace cairn
