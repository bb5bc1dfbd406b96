#include "cairn/graph/text_reader.h"

#include <fmt/format.h>

#include <algorithm>

#include "cairn/graph/infer.h"
#include "cairn/graph/literals.h"

namespace cairn::detail {
namespace {

constexpr size_t kShownLength = 40;  // of a token in an error

std::string describe(const Token& token) {
  if (token.kind == TokenKind::end) return "the end of the text";
  std::string shown = token.text.substr(0, kShownLength);
  if (token.text.size() > kShownLength) shown += "...";
  if (token.kind == TokenKind::value) return "'%" + spell_name(shown) + "'";
  if (token.kind == TokenKind::symbol) return "'@" + spell_name(shown) + "'";
  if (token.kind == TokenKind::string) return "the string " + quote(shown);
  return "'" + shown + "'";
}

// What a key's value looks like, for errors.
std::string_view expected_value(AttrType type) {
  switch (type) {
    case AttrType::integer: return "an integer";
    case AttrType::flag: return "true or false";
    case AttrType::number: return "a number";
    case AttrType::text: return "a word or a string";
    case AttrType::dtype: return "an element type";
    case AttrType::ints: return "a list of integers in [ ]";
    case AttrType::literal: return "a literal dense<type>(...)";
    case AttrType::placement: return "a placement, like host:0";
    case AttrType::graph:
    case AttrType::definition: break;
  }
  return "";
}

// Keys that a text gives: regions follow the operation, counts of operands follow from ';'.
std::vector<std::string_view> keys_of(Op op) {
  std::vector<std::string_view> keys;
  for (const AttrUse& use : info(op).attributes)
    if (!expected_value(type_of(use.attr)).empty() && use.attr != Attr::carried &&
        use.attr != Attr::scanned)
      keys.push_back(name(use.attr));
  return keys;
}

}  // namespace

namespace {

// Letters inserted, removed, changed or swapped with their neighbour (optimal string alignment).
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> before_last(b.size() + 1);
  std::vector<size_t> last(b.size() + 1);
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    before_last.swap(last);
    last.swap(row);
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        row[j] = std::min(row[j], before_last[j - 2] + 1);
    }
  }
  return row[b.size()];
}

}  // namespace

std::string_view nearest(std::string_view word, std::span<const std::string_view> candidates) {
  CAIRN_ASSERT(!candidates.empty());
  return *std::min_element(candidates.begin(), candidates.end(),
                           [&](std::string_view a, std::string_view b) {
                             return edit_distance(word, a) < edit_distance(word, b);
                           });
}

Token TextReader::take() {
  Token taken = std::move(token_);
  token_ = lexer_.next();
  return taken;
}

bool TextReader::at(std::string_view punctuation) const {
  return token_.kind == TokenKind::punctuation && token_.text == punctuation;
}
bool TextReader::at_word(std::string_view word) const {
  return token_.kind == TokenKind::word && token_.text == word;
}
bool TextReader::accept(std::string_view punctuation) {
  if (!at(punctuation)) return false;
  take();
  return true;
}
bool TextReader::accept_word(std::string_view word) {
  if (!at_word(word)) return false;
  take();
  return true;
}
void TextReader::expect(std::string_view punctuation) {
  if (!accept(punctuation)) fail_expected(fmt::format("'{}'", punctuation));
}
void TextReader::expect_word(std::string_view word) {
  if (!accept_word(word)) fail_expected(fmt::format("'{}'", word));
}
Token TextReader::expect_kind(TokenKind kind, std::string_view what) {
  if (token_.kind != kind) fail_expected(what);
  return take();
}

void TextReader::fail(size_t offset, std::string_view what) const { fail_at(text_, offset, what); }
void TextReader::fail_expected(std::string_view what) const {
  fail(token_.offset, fmt::format("expected {}, found {}", what, describe(token_)));
}

DType TextReader::dtype() {
  if (token_.kind != TokenKind::word) fail_expected("an element type, like f32");
  const auto dtype = parse_dtype(token_.text);
  if (!dtype) {
    std::vector<std::string_view> names;
    for (int i = 0; i < kDTypeCount; ++i) names.push_back(name(static_cast<DType>(i)));
    fail(token_.offset, fmt::format("unknown element type {}; the nearest is '{}'",
                                    describe(token_), nearest(token_.text, names)));
  }
  take();
  return *dtype;
}

int64_t TextReader::integer(std::string_view what) {
  const auto value =
      token_.kind == TokenKind::number ? parse_integer(token_.text) : std::optional<int64_t>();
  if (!value && token_.kind == TokenKind::number)
    fail(token_.offset, fmt::format("{} is not an integer of 64 bits", describe(token_)));
  if (!value) fail_expected(what);
  take();
  return *value;
}

Ints TextReader::ints(std::string_view what) {
  Ints values;
  if (!at("[")) fail_expected(what);
  take();
  while (!at("]")) {
    if (!values.empty()) expect(",");
    if (values.size() == kMaxRank)
      fail(token_.offset, fmt::format("a tensor has at most {} dimensions", kMaxRank));
    values.push_back(integer("an integer or ']'"));
  }
  take();
  return values;
}

std::string TextReader::mesh_axis() {
  if (token_.kind != TokenKind::word && token_.kind != TokenKind::string)
    fail_expected("the name of a mesh axis");
  if (token_.text.empty() || token_.text.size() > kMaxMeshAxisLength)
    fail(token_.offset,
         fmt::format("the name of a mesh axis has 1 to {} characters", kMaxMeshAxisLength));
  return take().text;
}

Placement TextReader::placement(const Token& first) {
  std::string text = first.text;
  if (accept(":")) text += ":" + expect_kind(TokenKind::number, "the number of a device").text;
  const auto placement = parse_placement(text);
  if (!placement)
    fail(first.offset, fmt::format("'{}' is no placement; one is device:N, pinned:N, host:N or "
                                   "file:N with N below 65536",
                                   text.substr(0, kShownLength)));
  return *placement;
}

TensorType TextReader::type() {
  TensorType type;
  const size_t offset = token_.offset;
  type.dtype = dtype();
  type.shape = Shape(ints("'[' and the sizes of the type"));
  if (!is_possible(type.dtype, type.shape))
    fail(offset, fmt::format("shape {} has a negative size or too many elements",
                             to_string(static_cast<const Ints&>(type.shape))));
  if (token_.kind == TokenKind::symbol) type.placement = placement(take());
  if (!accept("{")) return type;
  while (!at("}")) {
    if (!type.varying.empty()) expect(",");
    const size_t axis_offset = token_.offset;
    std::string axis = mesh_axis();
    const auto place = std::lower_bound(type.varying.begin(), type.varying.end(), axis);
    if (place != type.varying.end() && *place == axis)
      fail(axis_offset, fmt::format("mesh axis {} is named twice", spell_word(axis)));
    type.varying.insert(place, std::move(axis));
    if (type.varying.size() > kMaxMeshAxes)
      fail(axis_offset, fmt::format("a type names at most {} mesh axes", kMaxMeshAxes));
  }
  take();
  return type;
}

// A number as one text: 1.5, inf, true, nan(0x7fa00000).
std::string TextReader::element_text(std::string_view what) {
  if (token_.kind != TokenKind::number && token_.kind != TokenKind::word) fail_expected(what);
  std::string text = take().text;
  if (text == "nan" && accept("(")) {
    text += "(" + expect_kind(TokenKind::number, "the bits of the NaN, like 0x7fa00000").text + ")";
    expect(")");
  }
  return text;
}

Number TextReader::number(std::string_view what) {
  const size_t offset = token_.offset;
  const std::string text = element_text(what);
  const auto number = parse_number(text);
  if (!number)
    fail(offset, fmt::format("'{}' is no number of 64 bits", text.substr(0, kShownLength)));
  return *number;
}

HostArray TextReader::literal() {
  expect("<");
  const size_t type_offset = token_.offset;
  const DType element = dtype();
  const Shape shape(ints("'[' and the sizes of the literal"));
  if (!is_possible(element, shape) || shape.elements() > kMaxLiteralElements)
    fail(type_offset, fmt::format("a literal has at most {} elements; give more as an input",
                                  kMaxLiteralElements));
  expect(">");
  expect("(");
  HostArray array(element, shape);
  int64_t count = 0;
  while (!at(")")) {
    if (count > 0) expect(",");
    const size_t offset = token_.offset;
    const std::string text = element_text("a number or ')'");
    if (count == array.elements())
      fail(offset, fmt::format("too many elements: {}{} has {}", name(element),
                               to_string(static_cast<const Ints&>(shape)), array.elements()));
    if (!parse_element(text, array, count))
      fail(offset, fmt::format("'{}' is no {}", text.substr(0, kShownLength), name(element)));
    ++count;
  }
  if (count < array.elements())
    fail(token_.offset, fmt::format("{} elements are given, {}{} has {}", count, name(element),
                                    to_string(static_cast<const Ints&>(shape)), array.elements()));
  take();
  return array;
}

AttrValue TextReader::attribute_value(Attr key) {
  const AttrType type = type_of(key);
  const std::string what = fmt::format("{} for '{}'", expected_value(type), name(key));
  switch (type) {
    case AttrType::integer: return integer(what);
    case AttrType::flag:
      if (!at_word("true") && !at_word("false")) fail_expected(what);
      return take().text == "true";
    case AttrType::number: return number(what);
    case AttrType::text:
      if (key == Attr::mesh_axis) return mesh_axis();
      if (token_.kind != TokenKind::word && token_.kind != TokenKind::string) fail_expected(what);
      return take().text;
    case AttrType::dtype: return dtype();
    case AttrType::ints: return ints(what);
    case AttrType::literal:
      if (!accept_word("dense")) fail_expected(what);
      return literal();
    case AttrType::placement:
      if (token_.kind != TokenKind::word) fail_expected(what);
      return placement(take());
    case AttrType::graph:
    case AttrType::definition: break;
  }
  CAIRN_ASSERT(false);  // keys_of() leaves the others out
  return {};
}

Attrs TextReader::attributes(Op op) {
  Attrs attrs;
  if (!accept("{")) return attrs;
  const std::vector<std::string_view> keys = keys_of(op);
  while (!at("}")) {
    if (!attrs.empty()) expect(",");
    const Token key = expect_kind(TokenKind::word, "the name of an attribute or '}'");
    if (std::find(keys.begin(), keys.end(), key.text) == keys.end())
      fail(key.offset,
           keys.empty() ? fmt::format("'{}' takes no attributes, found {}", name(op), describe(key))
                        : fmt::format("'{}' has no attribute {}; the nearest is '{}'", name(op),
                                      describe(key), nearest(key.text, keys)));
    const Attr attr = *parse_attr(key.text);
    if (attrs.has(attr)) fail(key.offset, fmt::format("'{}' is given twice", key.text));
    expect("=");
    attrs.set(attr, attribute_value(attr));
  }
  take();
  return attrs;
}

}  // namespace cairn::detail
