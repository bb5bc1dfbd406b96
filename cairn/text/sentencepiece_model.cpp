// tokenizer.model: SentencePiece's ModelProto, read without protobuf, as it is four fields deep.
//
//   1 pieces { 1 piece, 2 score, 3 type }   2 trainer { 3 model_type, 40.. ids }
//   3 normalizer { 2 precompiled_charsmap, 3 add_dummy_prefix, 4 remove_extra_whitespaces }
#include <fmt/format.h>

#include <cstring>

#include "cairn/text/pieces.h"
#include "cairn/text/tokenizer_formats.h"

namespace cairn::text {
namespace {

constexpr uint64_t kBpe = 2;

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

void read_trainer(std::string_view bytes, PieceVocabulary& vocabulary) {
  uint64_t model = 1;
  for (Fields field(bytes); field.next();) {
    const auto id = static_cast<int32_t>(field.value);  // -1: there is none
    const auto optional = id >= 0 ? std::optional(id) : std::nullopt;
    if (field.number == 3) model = field.value;
    if (field.number == 41) vocabulary.bos = optional;
    if (field.number == 42) vocabulary.eos = optional;
    if (field.number == 24 && field.value != 0)
      throw_error("spaces at the end of words (treat_whitespace_as_suffix) are not supported");
  }
  if (model != kBpe) {
    throw_error(fmt::format("the model is {}; cairn reads those of kind BPE from this file",
                            model == 1 ? "Unigram" : fmt::format("of kind {}", model)));
  }
}

void read_normalizer(std::string_view bytes, PieceVocabulary& vocabulary) {
  vocabulary.squeeze_spaces = true;
  for (Fields field(bytes); field.next();) {
    if (field.number == 2 && !field.bytes.empty())
      throw_error("normalizers with a map of characters (nmt_nfkc) are not supported");
    if (field.number == 3) vocabulary.space_before = field.value != 0;
    if (field.number == 4) vocabulary.squeeze_spaces = field.value != 0;
  }
}

BpeDescription read(std::string_view file) {
  PieceVocabulary vocabulary;
  vocabulary.bos = 1;  // the format's defaults
  vocabulary.eos = 2;
  bool trainer = false;
  for (Fields field(file); field.next();) {
    if (field.number == 1) vocabulary.pieces.push_back(read_piece(field.bytes));
    if (field.number == 2) {
      read_trainer(field.bytes, vocabulary);
      trainer = true;
    }
    if (field.number == 3) read_normalizer(field.bytes, vocabulary);
  }
  if (!trainer || vocabulary.pieces.empty()) throw_error("it has no pieces or no trainer_spec");
  return describe_pieces(vocabulary);
}

}  // namespace

Result<std::unique_ptr<Tokenizer>> parse_sentencepiece_model(std::string_view bytes) {
  try {
    return make_bpe_tokenizer(read(bytes));
  } catch (const Error& error) {
    return Error(fmt::format("SentencePiece model: {}", error.what()));
  }
}

}  // namespace cairn::text
