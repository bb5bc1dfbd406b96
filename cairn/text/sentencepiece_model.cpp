// tokenizer.model: SentencePiece's ModelProto, read without protobuf, as it is four fields deep.
//
//   1 pieces { 1 piece, 2 score, 3 type }   2 trainer { 3 model_type, 35 byte_fallback, 40.. ids }
//   3 normalizer { 2 precompiled_charsmap, 3 add_dummy_prefix, 4 remove_extra_whitespaces }
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "cairn/text/pieces.h"
#include "cairn/text/sentencepiece_tokenizer.h"
#include "cairn/text/tokenizer_formats.h"

namespace cairn::text {
namespace {

constexpr uint64_t kUnigram = 1, kBpe = 2;

// The fields of a protobuf message, in order.
class Fields {
 public:
  explicit Fields(std::string_view bytes) : rest_(bytes) {}

  bool next() {
    if (rest_.empty()) return false;
    const uint64_t tag = varint();
    number = tag >> 3;
    bytes = {};
    value = 0;
    switch (tag & 7) {
      case 0: value = varint(); break;
      case 1: bytes = take(8); break;
      case 2: bytes = take(varint()); break;
      case 5: bytes = take(4); break;
      default: throw_error(fmt::format("field {} is of wire type {}", number, tag & 7));
    }
    return true;
  }

  float real() const {
    if (bytes.size() != sizeof(float))
      throw_error(fmt::format("field {} is no 32-bit number", number));
    float real = 0;
    std::memcpy(&real, bytes.data(), sizeof(real));
    return real;
  }

  uint64_t number = 0;
  uint64_t value = 0;      // of a varint
  std::string_view bytes;  // of the others

 private:
  uint64_t varint() {
    uint64_t out = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      const auto byte = static_cast<uint8_t>(take(1)[0]);
      out |= static_cast<uint64_t>(byte & 0x7F) << shift;
      if (byte < 0x80) return out;
    }
    throw_error("a number has more than 64 bits");
  }
  std::string_view take(uint64_t size) {
    if (size > rest_.size()) throw_error("the file ends inside a field");
    const std::string_view taken = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return taken;
  }
  std::string_view rest_;
};

Piece read_piece(std::string_view bytes) {
  Piece piece;
  for (Fields field(bytes); field.next();) {
    if (field.number == 1) piece.text = field.bytes;
    if (field.number == 2) piece.score = field.real();
    if (field.number == 3) {
      if (field.value < 1 || field.value > 6)
        throw_error(fmt::format("a piece is of the unknown kind {}", field.value));
      piece.kind = static_cast<PieceKind>(field.value);
    }
  }
  return piece;
}

// Returns the kind of the model.
uint64_t read_trainer(std::string_view bytes, PieceVocabulary& vocabulary) {
  uint64_t model = kUnigram;
  for (Fields field(bytes); field.next();) {
    const auto id = static_cast<int32_t>(field.value);  // -1: there is none
    const auto optional = id >= 0 ? std::optional(id) : std::nullopt;
    if (field.number == 3) model = field.value;
    if (field.number == 35) vocabulary.byte_fallback = field.value != 0;
    if (field.number == 41) vocabulary.bos = optional;
    if (field.number == 42) vocabulary.eos = optional;
    if (field.number == 24 && field.value != 0)
      throw_error("spaces at the end of words (treat_whitespace_as_suffix) are not supported");
  }
  return model;
}

void read_normalizer(std::string_view bytes, PieceVocabulary& vocabulary) {
  vocabulary.squeeze_spaces = true;
  for (Fields field(bytes); field.next();) {
    if (field.number == 2) vocabulary.character_map = field.bytes;
    if (field.number == 3) vocabulary.space_before = field.value != 0;
    if (field.number == 4) vocabulary.squeeze_spaces = field.value != 0;
    if (field.number == 5 && field.value == 0)
      throw_error("spaces that stay spaces (escape_whitespaces off) are not supported");
  }
}

bool has_all_bytes(const PieceVocabulary& vocabulary) {
  const auto bytes = std::count_if(vocabulary.pieces.begin(), vocabulary.pieces.end(),
                                   [](const Piece& p) { return p.kind == PieceKind::byte; });
  return vocabulary.byte_fallback && bytes == 256;
}

std::unique_ptr<Tokenizer> read(std::string_view file) {
  PieceVocabulary vocabulary;
  vocabulary.bos = 1;  // the format's defaults
  vocabulary.eos = 2;
  std::optional<uint64_t> model;
  for (Fields field(file); field.next();) {
    if (field.number == 1) vocabulary.pieces.push_back(read_piece(field.bytes));
    if (field.number == 2) model = read_trainer(field.bytes, vocabulary);
    if (field.number == 3) read_normalizer(field.bytes, vocabulary);
  }
  if (!model || vocabulary.pieces.empty()) throw_error("it has no pieces or no trainer_spec");
  if (*model != kUnigram && *model != kBpe)
    throw_error(
        fmt::format("the model is of kind {}; cairn reads Unigram (1) and BPE (2)", *model));
  if (*model == kBpe && vocabulary.character_map.empty() && has_all_bytes(vocabulary))
    return make_bpe_tokenizer(describe_pieces(vocabulary));
  // T5's kind ends a text and does not begin it.
  vocabulary.add_bos = *model == kBpe;
  vocabulary.add_eos = *model == kUnigram;
  return make_sentencepiece_tokenizer(vocabulary, {.unigram = *model == kUnigram});
}

}  // namespace

Result<std::unique_ptr<Tokenizer>> parse_sentencepiece_model(std::string_view bytes) {
  try {
    return read(bytes);
  } catch (const Error& error) {
    return Error(fmt::format("SentencePiece model: {}", error.what()));
  }
}

}  // namespace cairn::text
