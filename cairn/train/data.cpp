#include "cairn/train/data.h"

#include <fmt/format.h>
#define XXH_INLINE_ALL  // header only: no library to link
#include <xxhash.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "cairn/base/philox.h"
#include "cairn/io/idx.h"
#include "cairn/io/text_file.h"
#include "cairn/train/text_data.h"

namespace cairn {
namespace {

constexpr int32_t kIgnored = -100;
constexpr char kMagic[8] = {'c', 'a', 'i', 'r', 'n', 't', 'o', 'k'};

PhiloxKey key_of(uint64_t seed, int64_t epoch) {
  return fold_in(PhiloxKey{static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)},
                 static_cast<uint64_t>(epoch));
}

// Uninitialised arrays of these types.
std::vector<HostArray> arrays_of(std::span<const TensorType> types) {
  std::vector<HostArray> arrays;
  for (const TensorType& type : types) arrays.emplace_back(type.dtype, type.shape);
  return arrays;
}

struct Header {
  char magic[8];
  uint64_t width, tokens, documents;
};

}  // namespace

int64_t permuted(int64_t i, int64_t n, uint64_t seed, int64_t epoch) {
  const PhiloxKey key = key_of(seed, epoch);
  const int half = (std::bit_width(static_cast<uint64_t>(std::max<int64_t>(n - 1, 1))) + 1) / 2;
  const uint64_t mask = (uint64_t{1} << half) - 1;
  auto x = static_cast<uint64_t>(i);
  do {
    uint64_t left = x >> half;
    uint64_t right = x & mask;
    for (uint32_t round = 0; round < 4; ++round) {
      const uint64_t f = philox4x32(
          {static_cast<uint32_t>(right), static_cast<uint32_t>(right >> 32), round, 4}, key)[0];
      const uint64_t next = left ^ (f & mask);
      left = right;
      right = next;
    }
    x = left << half | right;
  } while (x >= static_cast<uint64_t>(n));
  return static_cast<int64_t>(x);
}

Status TokenFile::write(const std::string& path, std::span<const std::string> files,
                        const std::string& separator, const text::Tokenizer& tokenizer) {
  const uint64_t width = tokenizer.vocabulary_size() <= 65536 ? 2 : 4;
  std::vector<int64_t> starts;
  int64_t total = 0;
  return write_file_atomically(path, [&](FileWriter& out) -> Status {
    // Tokens, then the starts of documents, then the header: its sizes are known only at the end.
    for (const std::string& file : files) {
      io::DocumentOptions options;
      options.separator = separator;
      auto status = io::for_each_document(file, options, [&](std::string_view document) -> Status {
        starts.push_back(total);
        encode_in_parts(tokenizer, document, [&](std::span<const int32_t> ids) {
          total += static_cast<int64_t>(ids.size());
          if (width == 4) return out.write(std::as_bytes(ids));
          const std::vector<uint16_t> narrow(ids.begin(), ids.end());
          out.write(std::as_bytes(std::span(narrow)));
        });
        if (starts.back() == total) starts.pop_back();
        return Nothing{};
      });
      if (!status) return status;
    }
    if (out.position() % 8) out.write(std::string_view("\0\0\0\0\0\0\0", 8 - out.position() % 8));
    out.write(std::as_bytes(std::span(starts)));
    Header header;
    std::memcpy(header.magic, kMagic, 8);
    header.width = width;
    header.tokens = static_cast<uint64_t>(total);
    header.documents = starts.size();
    out.write(std::as_bytes(std::span(&header, 1)));
    return Nothing{};
  });
}

Result<TokenFile> TokenFile::open(const std::string& path) {
  auto bytes = map_file(path);
  if (!bytes) return bytes.error();
  TokenFile file;
  file.bytes_ = std::move(bytes).value();
  const auto all = file.bytes_.bytes();
  const Error broken(
      fmt::format("{}: not a token file of this version; remove it and it is made again", path));
  Header header;
  if (all.size() < sizeof header) return broken;
  std::memcpy(&header, all.data() + all.size() - sizeof header, sizeof header);
  const uint64_t body = all.size() - sizeof header;
  if (std::memcmp(header.magic, kMagic, 8) != 0 || (header.width != 2 && header.width != 4) ||
      header.tokens > body / header.width || header.documents > body / 8 ||
      (header.tokens * header.width + 7) / 8 * 8 + header.documents * 8 != body)
    return broken;
  file.width_ = static_cast<int>(header.width);
  file.size_ = static_cast<int64_t>(header.tokens);
  file.ids_ = all.data();
  // Written at a multiple of 8 of a file that is mapped at a page.
  file.starts_ = {reinterpret_cast<const int64_t*>(all.data() + (body - header.documents * 8)),
                  header.documents};
  return file;
}

int32_t TokenFile::operator[](int64_t i) const {
  return width_ == 2 ? static_cast<const uint16_t*>(ids_)[i] : static_cast<const int32_t*>(ids_)[i];
}

int64_t TokenFile::document(int64_t i) const {
  return std::upper_bound(starts_.begin(), starts_.end(), i) - starts_.begin() - 1;
}

TextBatches::TextBatches(const TokenFile& tokens, int64_t begin, int64_t end, int64_t context,
                         uint64_t seed)
    : tokens_(tokens), begin_(begin), end_(end), context_(context), seed_(seed) {
  if (end - begin < 2)
    throw_error(
        fmt::format("the text has {} tokens here; at least 2 are needed, and {} fill a context",
                    end - begin, context + 1));
  windows_ = std::max<int64_t>((end - begin - 1 - context) / context, 1);
}

std::vector<TensorType> TextBatches::batch_types(int64_t batch) const {
  return std::vector<TensorType>(tokens_.has_documents() ? 3 : 2,
                                 {DType::i32, Shape{batch, context_}});
}

std::vector<HostArray> TextBatches::empty(int64_t batch) const {
  return arrays_of(batch_types(batch));
}

void TextBatches::fill(int64_t start, int64_t row, std::vector<HostArray>& arrays,
                       bool valid) const {
  const auto line = [&](size_t which) {
    return arrays[which].mutable_span<int32_t>().data() + row * context_;
  };
  int32_t* ids = line(0);
  int32_t* targets = line(1);
  const int64_t first_document = valid && arrays.size() > 2 ? tokens_.document(start) : 0;
  for (int64_t i = 0; i < context_; ++i) {
    const int64_t at = start + i;
    const bool inside = valid && at + 1 < end_;
    ids[i] = valid && at < end_ ? tokens_[at] : 0;
    targets[i] = inside ? tokens_[at + 1] : kIgnored;
    if (arrays.size() < 3) continue;
    const int64_t document = valid && at < end_ ? tokens_.document(at) : first_document;
    line(2)[i] = static_cast<int32_t>(document - first_document);
    if (inside && tokens_.document(at + 1) != document) targets[i] = kIgnored;
  }
}

std::vector<HostArray> TextBatches::batch(int64_t step, int64_t batch) const {
  std::vector<HostArray> arrays = empty(batch);
  for (int64_t row = 0; row < batch; ++row) {
    const int64_t sample = step * batch + row;
    const int64_t epoch = sample / windows_;
    // Each epoch cuts the text at other places.
    const int64_t spare = std::max<int64_t>(end_ - begin_ - 1 - windows_ * context_, 0);
    const int64_t shift = spare ? static_cast<int64_t>(philox_bits(key_of(seed_, epoch), 0) %
                                                       static_cast<uint64_t>(spare + 1))
                                : 0;
    fill(begin_ + shift + permuted(sample % windows_, windows_, seed_, epoch) * context_, row,
         arrays, true);
  }
  return arrays;
}

std::vector<HostArray> TextBatches::evaluation_batch(int64_t first, int64_t batch) const {
  std::vector<HostArray> arrays = empty(batch);
  for (int64_t row = 0; row < batch; ++row)
    fill(begin_ + (first + row) * context_, row, arrays, first + row < evaluation_windows());
  return arrays;
}

Result<ImageBatches> ImageBatches::open(const std::string& images, const std::string& labels) {
  ImageBatches data;
  auto pixels = io::read_idx(images);
  if (!pixels) return pixels.error();
  auto classes = io::read_idx(labels);
  if (!classes) return classes.error();
  data.images_ = std::move(pixels).value();
  data.labels_ = std::move(classes).value();
  const Shape& shape = data.images_.shape();
  if (data.images_.dtype() != DType::u8 || shape.rank() < 3 || shape.rank() > 4)
    return Error(fmt::format("{}: expected u8 images [N, H, W] or [N, C, H, W], not {} of shape {}",
                             images, name(data.images_.dtype()), to_string(shape)));
  if (data.labels_.dtype() != DType::u8 || data.labels_.shape().rank() != 1 ||
      data.labels_.shape()[0] != shape[0])
    return Error(fmt::format("{}: expected u8 labels [{}], not {} of shape {}", labels, shape[0],
                             name(data.labels_.dtype()), to_string(data.labels_.shape())));
  data.count_ = shape[0];
  if (data.count_ == 0) return Error(fmt::format("{}: holds no images", images));
  data.shape_ =
      shape.rank() == 3 ? Shape{1, shape[1], shape[2]} : Shape{shape[1], shape[2], shape[3]};
  double sum = 0, squares = 0;
  for (const uint8_t p : data.images_.span<uint8_t>()) {
    sum += p;
    squares += static_cast<double>(p) * p;
  }
  const double n = static_cast<double>(data.images_.elements());
  data.mean = sum / n / 255;
  data.deviation =
      std::max(std::sqrt(std::max(squares / n / 255 / 255 - data.mean * data.mean, 0.0)), 1e-6);
  for (const uint8_t label : data.labels_.span<uint8_t>())
    data.classes_ = std::max<int64_t>(data.classes_, label + 1);
  return data;
}

void ImageBatches::fill(int64_t image, int64_t row, std::vector<HostArray>& arrays) const {
  const int64_t pixels = shape_.elements();
  float* out = arrays[0].mutable_span<float>().data() + row * pixels;
  int32_t& label = arrays[1].mutable_span<int32_t>()[static_cast<size_t>(row)];
  if (image >= count_) {
    std::fill(out, out + pixels, 0.0f);
    label = kIgnored;
    return;
  }
  const uint8_t* in = images_.span<uint8_t>().data() + image * pixels;
  const auto scale = static_cast<float>(1 / (255 * deviation));
  const auto shift = static_cast<float>(mean / deviation);
  for (int64_t i = 0; i < pixels; ++i) out[i] = static_cast<float>(in[i]) * scale - shift;
  label = labels_.span<uint8_t>()[static_cast<size_t>(image)];
}

std::vector<TensorType> ImageBatches::batch_types(int64_t batch) const {
  return {{DType::f32, {batch, shape_[0], shape_[1], shape_[2]}}, {DType::i32, {batch}}};
}

std::vector<HostArray> ImageBatches::batch(int64_t step, int64_t batch, uint64_t seed) const {
  std::vector<HostArray> arrays = arrays_of(batch_types(batch));
  for (int64_t row = 0; row < batch; ++row) {
    const int64_t sample = step * batch + row;
    fill(permuted(sample % count_, count_, seed, sample / count_), row, arrays);
  }
  return arrays;
}

std::vector<HostArray> ImageBatches::evaluation_batch(int64_t first, int64_t batch) const {
  std::vector<HostArray> arrays = arrays_of(batch_types(batch));
  for (int64_t row = 0; row < batch; ++row) fill(first + row, row, arrays);
  return arrays;
}

uint64_t TokenFile::hash() const {
  const std::string_view all = bytes_.text();
  return XXH3_64bits(all.data(), all.size());
}

uint64_t ImageBatches::hash() const {
  return XXH3_64bits_withSeed(images_.data(), images_.bytes(),
                              XXH3_64bits(labels_.data(), labels_.bytes()));
}

}  // namespace cairn
