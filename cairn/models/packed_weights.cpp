#define XXH_INLINE_ALL  // the library is not linked
#include "cairn/models/packed_weights.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <xxhash.h>

#include <algorithm>

#include "cairn/base/cpu_features.h"
#include "cairn/base/environment.h"
#include "cairn/compiler/block_panels.h"
#include "cairn/compiler/panels.h"
#include "cairn/quant/encode.h"
#include "cairn/tile/quantized.h"

namespace cairn {
namespace {

namespace fs = std::filesystem;

// To be counted up when fields get other names, or are made of other tensors of their files.
constexpr int kVersion = 1;

class Hash {
 public:
  Hash() { XXH3_128bits_reset(&state_); }
  void add(const void* data, size_t bytes) { XXH3_128bits_update(&state_, data, bytes); }
  void add(std::string_view text) { add(text.data(), text.size()); }
  std::string text() const {
    const XXH128_hash_t hash = XXH3_128bits_digest(&state_);
    return fmt::format("{:016x}{:016x}", hash.high64, hash.low64);
  }

 private:
  XXH3_state_t state_;
};

// The files that a model is read from, as far as weights follow from them.
std::vector<fs::path> source_files(const fs::path& model) {
  std::error_code ignored;
  std::vector<fs::path> files;
  const auto add_from = [&](const fs::path& folder, const auto& is_part) {
    for (const auto& entry : fs::directory_iterator(folder.empty() ? "." : folder, ignored))
      if (is_part(entry.path())) files.push_back(entry.path());
    std::ranges::sort(files);
  };
  if (fs::is_directory(model, ignored)) {
    add_from(model, [](const fs::path& p) {
      return p.extension() == ".safetensors" || p.filename() == "config.json";
    });
    return files;
  }
  // "NAME-00001-of-00003.gguf" and its other parts: alike but for their first number.
  const std::string name = model.filename().string();
  constexpr std::string_view kOf = "-of-00000.gguf";
  if (name.size() < kOf.size() + 5 || name.find("-of-", name.size() - kOf.size()) == name.npos)
    return {model};
  const size_t number = name.size() - kOf.size() - 5;
  add_from(model.parent_path(), [&](const fs::path& p) {
    const std::string other = p.filename().string();
    return other.size() == name.size() && other.compare(0, number, name, 0, number) == 0 &&
           other.compare(number + 5, kOf.size(), name, number + 5, kOf.size()) == 0;
  });
  return files;
}

// The beginning, where names, types and places stand, and pieces all over the file.
void add_samples(const std::string& path, Hash& hash) {
  constexpr size_t kFirst = size_t{1} << 20, kPiece = 4096, kPieces = 256;
  const auto mapped = map_file(path);
  if (!mapped) return hash.add(mapped.error().what());
  const auto bytes = mapped.value().bytes();
  const size_t first = std::min(bytes.size(), kFirst);
  hash.add(bytes.data(), first);
  if (bytes.size() <= kFirst + kPieces * kPiece)
    return hash.add(bytes.data() + first, bytes.size() - first);
  const size_t step = (bytes.size() - kFirst - kPiece) / (kPieces - 1);
  for (size_t i = 0; i < kPieces; ++i) hash.add(bytes.data() + kFirst + i * step, kPiece);
}

std::string source_of(const fs::path& model) {
  Hash hash;
  for (const fs::path& file : source_files(model)) {
    struct stat info{};
    if (::stat(file.c_str(), &info) != 0) continue;
    hash.add(fmt::format("{} {} {}.{:09}\n", file.filename().string(), info.st_size,
                         info.st_mtim.tv_sec, info.st_mtim.tv_nsec));
    add_samples(file.string(), hash);
  }
  return hash.text();
}

// Of what encoders and panels make of a few numbers: whoever changes one of them need not remember
// that files of packed weights exist.
std::string layout_of(bool encodes, Runtime& runtime) {
  Hash hash;
  constexpr int64_t kColumns = 512;
  std::vector<float> row(kColumns);
  for (int64_t i = 0; i < kColumns; ++i)
    row[static_cast<size_t>(i)] = static_cast<float>((i * 37) % 101 - 50) / 16;
  const CpuTarget target = choose_cpu_target(read_environment().target);
  for (const BlockFormat& format : block_formats()) {
    if (!tile::has_product_kernel(format)) continue;
    const int64_t rows = tile::panel_rows(format) + 1, row_bytes = 2 * format.block_bytes;
    std::vector<uint8_t> bytes(static_cast<size_t>(rows * row_bytes));
    for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(i * 7 + i / 251);
    std::vector<uint8_t> panels(
        static_cast<size_t>(block_panels_shape(format, rows, row_bytes).elements()));
    write_block_panels(format, bytes.data(), rows, row_bytes, panels.data(), runtime.pool());
    hash.add(panels.data(), panels.size());
    if (!encodes) continue;
    if (format.scale_type == ScaleType::none)
      encode_scaled_row(row.data(), format.block_elements, bytes.data());
    else
      encode_rows(format, row.data(), 1, kColumns / format.block_elements * format.block_elements,
                  {}, bytes.data(), target);
    hash.add(bytes.data(), bytes.size());
  }
  for (const DType dtype : {DType::f16, DType::bf16, DType::f32}) {
    constexpr int64_t kRows = kPanelColumns + 1, kDepth = 5;
    std::vector<uint8_t> from(kRows * kDepth * size_of(dtype));
    for (size_t i = 0; i < from.size(); ++i) from[i] = static_cast<uint8_t>(i * 7 + i / 251);
    std::vector<uint8_t> panels(TensorType{dtype, panels_shape(dtype, kRows, kDepth)}.bytes());
    write_panels(dtype, from.data(), kRows, kDepth, panels.data(), runtime.pool());
    hash.add(panels.data(), panels.size());
  }
  return hash.text();
}

}  // namespace

std::string packed_weights_path(const fs::path& model, const std::string& quantize,
                                PackedPlace place, const std::string& cache_folder) {
  const std::string type = quantize.empty() ? "" : "." + quantize;
  std::error_code ignored;
  const fs::path whole = fs::weakly_canonical(model, ignored);
  if (place == PackedPlace::cache) {
    Hash hash;
    hash.add(whole.string());
    return fmt::format("{}/weights/{}-{}{}.packed", cache_folder, whole.filename().string(),
                       hash.text().substr(0, 16), type);
  }
  if (fs::is_directory(model, ignored)) return (model / ("weights" + type + ".packed")).string();
  return model.string() + type + ".packed";
}

PackedIdentity packed_identity(const fs::path& model, const std::string& quantize,
                               Runtime& runtime) {
  return {source_of(model), fmt::format("version {}, weights {}, {}, layout {}", kVersion,
                                        quantize.empty() ? "as they are" : quantize,
                                        runtime.backend().packs_weights() ? "in panels" : "in rows",
                                        layout_of(!quantize.empty(), runtime))};
}

PackedWeights::PackedWeights(Runtime& runtime, std::string path, PackedIdentity identity, Log log)
    : runtime_(runtime),
      path_(std::move(path)),
      identity_(std::move(identity)),
      log_(std::move(log)) {
  std::error_code ignored;
  if (!fs::exists(path_, ignored)) return;
  auto opened = PackedFile::open(path_);
  std::string why;
  if (!opened)
    why = opened.error().what();
  else if (opened.value().identity().source != identity_.source)
    why = fmt::format("'{}' is of another model, or this one has changed", path_);
  else if (opened.value().identity().made != identity_.made)
    why = fmt::format("'{}' was made by another version of cairn or in another way", path_);
  else
    file_ = std::move(opened).value();
  if (!file_) log_.warning(why + "; it is made again");
}

Tensor PackedWeights::leaf(const TensorType& type, const std::string& name,
                           const std::function<void(void*)>& write) {
  if (const PackedTensor* found = file_ ? file_->find(name) : nullptr;
      found && found->type == type) {
    if (packed_checksum(found->bytes.bytes(), runtime_.pool()) == found->checksum) {
      tensors_.push_back(*found);
      auto buffer = std::make_shared<Buffer>();
      buffer->data = const_cast<std::byte*>(found->bytes.data());
      buffer->bytes = found->bytes.size();
      buffer->writable = false;
      buffer->owner = found->bytes.owner();
      return Tensor::leaf(type, std::move(buffer), name);
    }
    log_.warning(fmt::format("'{}' is damaged in tensor '{}'; it is made again", path_, name));
  }
  const auto buffer = runtime_.allocator().allocate(type.bytes());
  write(buffer->data);
  tensors_.push_back(
      {name, type,
       SharedBytes(buffer, {static_cast<const std::byte*>(buffer->data), buffer->bytes}), 0});
  ++made_;
  return Tensor::leaf(type, buffer, name);
}

void PackedWeights::keep() {
  if (made_ == 0) return;
  std::error_code ignored;
  if (const fs::path folder = fs::path(path_).parent_path(); !folder.empty())
    fs::create_directories(folder, ignored);
  uint64_t bytes = 0;
  for (const PackedTensor& tensor : tensors_) bytes += tensor.bytes.size();
  if (const Status status = write_packed_file(path_, identity_, tensors_, runtime_.pool()); !status)
    log_.warning(fmt::format("packed weights are not kept: {}", status.error().what()));
  else
    log_.info(fmt::format("'{}' keeps {} bytes of packed weights; the next start maps them", path_,
                          bytes));
}

Tensor packed_leaf(PackedWeights* kept, Runtime& runtime, const TensorType& type,
                   const std::string& name, const std::function<void(void*)>& write) {
  if (kept) return kept->leaf(type, name, write);
  const auto buffer = runtime.allocator().allocate(type.bytes());
  write(buffer->data);
  return Tensor::leaf(type, buffer, name);
}

}  // namespace cairn
