// Lines of C++ in machine code: the one that each instruction of a kernel was written on (a call of
// the tile language, or of the tensor library where a group of nodes became the kernel), as debug
// information that gdb and profilers read.
#pragma once

#include <llvm/IR/DIBuilder.h>
#include <llvm/IR/IRBuilder.h>

#include <map>
#include <source_location>
#include <string>

namespace cairn::compiler {

class DebugLines {
 public:
  // Of a function that is about to be written, `where` begins what it does.
  DebugLines(llvm::Function& function, const std::source_location& where);

  // What is built from here on comes from that line; without a line, from where it did before.
  void set(llvm::IRBuilder<>& builder, const std::source_location& where);
  // Call it once, when the function is written.
  void finish() { debug_.finalize(); }

 private:
  llvm::DIFile* file(const std::string& path);
  llvm::DIBuilder debug_;
  llvm::DISubprogram* function_ = nullptr;
  std::map<std::string, llvm::DIScope*> scopes_;  // of the function, by the file of its lines
};

}  // namespace cairn::compiler
