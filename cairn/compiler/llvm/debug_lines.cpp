#include "cairn/compiler/llvm/debug_lines.h"

#include <llvm/BinaryFormat/Dwarf.h>
#include <llvm/IR/DebugInfoMetadata.h>
#include <llvm/IR/Module.h>

namespace cairn::compiler {

DebugLines::DebugLines(llvm::Function& function, const std::source_location& where)
    : debug_(*function.getParent()) {
  llvm::Module& module = *function.getParent();
  module.addModuleFlag(llvm::Module::Warning, "Debug Info Version", llvm::DEBUG_METADATA_VERSION);
  module.addModuleFlag(llvm::Module::Warning, "Dwarf Version", 4);
  llvm::DIFile* unit = file(where.file_name());
  debug_.createCompileUnit(llvm::dwarf::DW_LANG_C_plus_plus, unit, "cairn", true, "", 0, "",
                           llvm::DICompileUnit::LineTablesOnly);
  auto* type = debug_.createSubroutineType(debug_.getOrCreateTypeArray({}));
  function_ =
      debug_.createFunction(unit, function.getName(), "", unit, where.line(), type, where.line(),
                            llvm::DINode::FlagZero, llvm::DISubprogram::SPFlagDefinition);
  function.setSubprogram(function_);
}

llvm::DIFile* DebugLines::file(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos
             ? debug_.createFile(path, "")
             : debug_.createFile(path.substr(slash + 1), path.substr(0, slash));
}

void DebugLines::set(llvm::IRBuilder<>& builder, const std::source_location& where) {
  if (where.line() == 0) return;
  llvm::DIScope*& scope = scopes_[where.file_name()];
  if (!scope) scope = debug_.createLexicalBlockFile(function_, file(where.file_name()));
  builder.SetCurrentDebugLocation(
      llvm::DILocation::get(function_->getContext(), where.line(), where.column(), scope));
}

}  // namespace cairn::compiler
