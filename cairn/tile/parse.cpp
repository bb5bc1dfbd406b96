#include "cairn/tile/parse.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <unordered_map>

#include "cairn/base/error.h"
#include "cairn/graph/text_reader.h"
#include "cairn/tile/infer.h"
#include "cairn/tile/print.h"
#include "cairn/tile/verify.h"

namespace cairn::tile {
namespace {

using cairn::detail::TextReader;
using cairn::detail::Token;
using cairn::detail::TokenKind;

// An instruction takes about 300 bytes and can be asked for with ten.
constexpr size_t kMaxTextBytes = size_t{4} << 20;

// One spelling for each name: %x and %"x" are the same, the number %1 and the name %"1" are not.
std::string key_of(const Token& name) {
  return name.quoted ? cairn::detail::spell_name(name.text) : name.text;
}
std::string shown(const Token& name) { return "'%" + key_of(name) + "'"; }

// What a word stands for; empty for an unknown one.
std::optional<Instruction> named_instruction(std::string_view word) {
  Instruction in;
  for (int i = 0; i < kTileOpCount; ++i) {
    in.op = static_cast<TileOp>(i);
    if (in.op != TileOp::apply && name(in.op) == word) return in;
  }
  const auto primitive = parse_op(word);
  if (!primitive || cairn::info(*primitive).trait != Trait::elementwise) return std::nullopt;
  in.op = TileOp::apply;
  in.scalar = *primitive;
  return in;
}

std::vector<std::string_view> known_words() {
  std::vector<std::string_view> words;
  for (int i = 0; i < kTileOpCount; ++i)
    if (static_cast<TileOp>(i) != TileOp::apply) words.push_back(name(static_cast<TileOp>(i)));
  for (int i = 0; i < kOpCount; ++i)
    if (const OpInfo& row = cairn::info(static_cast<Op>(i)); row.trait == Trait::elementwise)
      words.push_back(row.name);
  return words;
}

class Parser {
 public:
  explicit Parser(std::string_view text) : reader_(text) {}
  Kernel parse();

 private:
  // What a name stands for: a value or a buffer.
  struct Named {
    ValueId value = -1;
    int parameter = -1;
  };

  Token name_token() { return reader_.expect_kind(TokenKind::value, "a value, like %x"); }
  void define(const Token& name, Named what);
  void leave(size_t outer);
  const Named& find(const Token& name) const;
  ValueId value();
  int buffer();
  TileType type();

  void parameter();
  void grid();
  void code(Block& block);
  void yields(Block& block);
  void instruction(Block& block);
  Instruction head(const Token& word);
  void attributes(Instruction& in, const Token& word);
  void attribute(Instruction& in, Key key);
  int small(std::string_view key, int low, int high);
  void body(Instruction& loop, const Token& word);
  void argument(const Instruction& loop, Block& body);
  void results(Instruction& in, const Token& word, const std::vector<Token>& names);

  TextReader reader_;
  Kernel kernel_;
  std::unordered_map<std::string, Named> names_;
  std::vector<std::string> visible_;  // the keys of names_ in order, so that a block can be left
  int depth_ = 0;
  bool in_grid_ = false;
};

void Parser::define(const Token& name, Named what) {
  std::string key = key_of(name);
  if (!names_.emplace(key, what).second)
    reader_.fail(name.offset, shown(name) + " is defined already");
  visible_.push_back(std::move(key));
}

// Forgets the names beyond the first `outer`.
void Parser::leave(size_t outer) {
  for (; visible_.size() > outer; visible_.pop_back()) names_.erase(visible_.back());
}

const Parser::Named& Parser::find(const Token& name) const {
  const auto found = names_.find(key_of(name));
  if (found == names_.end()) reader_.fail(name.offset, shown(name) + " is not defined");
  return found->second;
}

ValueId Parser::value() {
  const Token name = name_token();
  const Named& found = find(name);
  if (found.value < 0) reader_.fail(name.offset, shown(name) + " is a buffer, not a value");
  return found.value;
}

int Parser::buffer() {
  const Token name = reader_.expect_kind(TokenKind::value, "a buffer, like %x");
  const Named& found = find(name);
  if (found.parameter < 0) reader_.fail(name.offset, shown(name) + " is not a buffer");
  return found.parameter;
}

// Sizes whose product fits in 63 bits; infer.h says how much less a tile may have.
TileType Parser::type() {
  const size_t offset = reader_.token().offset;
  TileType type;
  type.dtype = reader_.dtype();
  type.shape = Shape(reader_.ints("'[' and the sizes of the type"));
  if (checked_elements({type.shape.begin(), type.shape.end()}) < 1)
    reader_.fail(offset, fmt::format("{} has a size below 1 or too many elements",
                                     cairn::to_string(type.shape)));
  return type;
}

Kernel Parser::parse() {
  reader_.expect_word("kernel");
  if (reader_.token().kind == TokenKind::symbol) kernel_.name = reader_.take().text;
  reader_.expect("(");
  while (!reader_.at(")")) {
    if (!kernel_.parameters.empty()) reader_.expect(",");
    parameter();
  }
  reader_.take();
  reader_.expect("{");
  if (reader_.at_word("grid")) grid();
  code(kernel_.body);
  reader_.expect("}");
  if (reader_.token().kind != TokenKind::end) reader_.fail_expected("the end of the text");
  return std::move(kernel_);
}

void Parser::parameter() {
  const Token name = reader_.expect_kind(TokenKind::value, "a parameter, like %x");
  if (!name.quoted && cairn::detail::is_automatic_name(name.text))
    reader_.fail(name.offset, fmt::format("a parameter has a name; '%{}' is a number, '%\"{}\"' "
                                          "would be a name",
                                          name.text, name.text));
  if (!reader_.accept(":")) reader_.fail_expected("':' and the type of " + shown(name));
  Parameter p;
  p.name = name.text;
  for (const auto kind : {Parameter::Kind::input, Parameter::Kind::output, Parameter::Kind::inout})
    if (reader_.accept_word(tile::name(kind))) {
      p.kind = kind;
      break;
    }
  p.dtype = reader_.dtype();
  p.divisor = default_divisor(p.kind);
  const size_t offset = reader_.token().offset;
  if (reader_.accept_word(p.is_buffer() ? "align" : "divisor"))
    p.divisor = reader_.integer("an integer");
  if (const std::string fault = fault_of(p); !fault.empty()) reader_.fail(offset, fault);
  const auto index = static_cast<int>(kernel_.parameters.size());
  if (!p.is_buffer()) p.value = kernel_.new_value({p.dtype, {}});
  define(name, p.is_buffer() ? Named{.parameter = index} : Named{.value = p.value});
  kernel_.parameters.push_back(std::move(p));
}

void Parser::grid() {
  reader_.take();
  reader_.expect("{");
  const size_t outer = visible_.size();
  in_grid_ = true;
  code(kernel_.grid);
  const size_t offset = reader_.token().offset;
  yields(kernel_.grid);
  if (const std::string fault = fault_of_grid(kernel_); !fault.empty()) reader_.fail(offset, fault);
  in_grid_ = false;
  leave(outer);
}

// Instructions up to the word or brace that ends them.
void Parser::code(Block& block) {
  while (!reader_.at("}") && !reader_.at_word("yield")) instruction(block);
}

// "yield %a, %b }".
void Parser::yields(Block& block) {
  reader_.expect_word("yield");
  while (!reader_.at("}")) {
    if (!block.yields.empty()) reader_.expect(",");
    block.yields.push_back(value());
  }
  reader_.take();
}

void Parser::instruction(Block& block) {
  std::vector<Token> names;
  if (reader_.token().kind == TokenKind::value) {
    do names.push_back(name_token());
    while (reader_.accept(","));
    reader_.expect("=");
  }
  const Token word = reader_.expect_kind(TokenKind::word, "an instruction");
  Instruction in = head(word);
  attributes(in, word);
  if (in.op == TileOp::loop) body(in, word);
  results(in, word, names);
  block.code.push_back(std::move(in));
}

// "load(%x, %1, %2)".
Instruction Parser::head(const Token& word) {
  std::optional<Instruction> in = named_instruction(word.text);
  if (!in)
    reader_.fail(word.offset,
                 fmt::format("unknown instruction '{}'; the nearest is '{}'", word.text,
                             cairn::detail::nearest(word.text, known_words())));
  reader_.expect("(");
  bool first = true;
  if (names_buffer(in->op)) {
    in->parameter = buffer();
    first = false;
  }
  while (!reader_.at(")")) {
    if (!first) reader_.expect(",");
    in->operands.push_back(value());
    first = false;
  }
  reader_.take();
  return std::move(*in);
}

void Parser::attributes(Instruction& in, const Token& word) {
  const std::span<const KeyUse> uses = keys_of(in.op);
  std::vector<Key> given;
  const auto is_given = [&](Key key) {
    return std::find(given.begin(), given.end(), key) != given.end();
  };
  if (reader_.accept("{")) {
    while (!reader_.at("}")) {
      if (!given.empty()) reader_.expect(",");
      const Token key = reader_.expect_kind(TokenKind::word, "the name of an attribute or '}'");
      const auto use = std::find_if(uses.begin(), uses.end(),
                                    [&](const KeyUse& u) { return name(u.key) == key.text; });
      if (use == uses.end())
        reader_.fail(key.offset, fmt::format("'{}' has no attribute '{}'", word.text, key.text));
      if (is_given(use->key))
        reader_.fail(key.offset, fmt::format("'{}' is given twice", key.text));
      given.push_back(use->key);
      reader_.expect("=");
      attribute(in, use->key);
    }
    reader_.take();
  }
  for (const KeyUse& use : uses)
    if (use.required && !is_given(use.key))
      reader_.fail(word.offset,
                   fmt::format("'{}' needs the attribute '{}'", word.text, name(use.key)));
}

int Parser::small(std::string_view key, int low, int high) {
  const size_t offset = reader_.token().offset;
  const int64_t number = reader_.integer("an integer");
  if (number < low || number > high)
    reader_.fail(offset, fmt::format("{} is {} to {}, got {}", key, low, high, number));
  return static_cast<int>(number);
}

void Parser::attribute(Instruction& in, Key key) {
  switch (key) {
    case Key::axes: in.axes = reader_.ints("a list of integers in [ ]"); break;
    case Key::axis: in.axis = small("axis", 0, kMaxRank - 1); break;
    case Key::kind:
      for (int i = 0; i < kCombineCount; ++i)
        if (reader_.accept_word(name(static_cast<Combine>(i)))) {
          in.kind = static_cast<Combine>(i);
          return;
        }
      reader_.fail_expected("sum, prod, max or min");
    case Key::reverse:
      if (!reader_.at_word("true") && !reader_.at_word("false"))
        reader_.fail_expected("true or false");
      in.reverse = reader_.take().text == "true";
      break;
    case Key::stages: in.stages = small("stages", 1, std::numeric_limits<int>::max()); break;
    case Key::text: in.text = reader_.expect_kind(TokenKind::string, "a string").text; break;
    case Key::value: in.value = reader_.number("a number"); break;
  }
}

void Parser::body(Instruction& loop, const Token& word) {
  if (loop.operands.size() < 3)
    reader_.fail(word.offset, "'loop' takes begin, end, step and the carried values");
  if (++depth_ > kMaxLoopDepth)
    reader_.fail(word.offset, fmt::format("loops nest at most {} deep", kMaxLoopDepth));
  const size_t outer = visible_.size();
  Block body;
  reader_.expect("(");
  while (!reader_.at(")")) {
    if (!body.arguments.empty()) reader_.expect(",");
    argument(loop, body);
  }
  reader_.take();
  reader_.expect("{");
  code(body);
  yields(body);
  leave(outer);
  --depth_;
  loop.regions.push_back(std::move(body));
}

// The index, or the next carried value.
void Parser::argument(const Instruction& loop, Block& body) {
  const Token name = name_token();
  if (!reader_.accept(":")) reader_.fail_expected("':' and the type of " + shown(name));
  const size_t offset = reader_.token().offset;
  const TileType given = type();
  const size_t i = body.arguments.size();
  const size_t carried = loop.operands.size() - 3;
  if (i > carried)
    reader_.fail(name.offset,
                 fmt::format("the body takes the index and {} carried values", carried));
  const TileType wanted = i == 0 ? TileType{DType::i64, {}} : kernel_.type(loop.operands[i + 2]);
  if (!(given == wanted))
    reader_.fail(offset, fmt::format("{} is given {}, not {}", shown(name), to_string(wanted),
                                     to_string(given)));
  body.arguments.push_back(kernel_.new_value(wanted));
  define(name, {.value = body.arguments.back()});
}

// ": f32[64], i64[]", and what follows from the whole instruction.
void Parser::results(Instruction& in, const Token& word, const std::vector<Token>& names) {
  const size_t count =
      in.op == TileOp::loop ? in.operands.size() - 3 : static_cast<size_t>(info(in.op).results);
  if (names.size() != count)
    reader_.fail(
        names.empty() ? word.offset : names[0].offset,
        fmt::format("'{}' gives {} results, {} are named", word.text, count, names.size()));
  std::vector<TileType> given;
  std::vector<size_t> offsets;
  for (size_t i = 0; i < count; ++i) {
    reader_.expect(i ? "," : ":");
    offsets.push_back(reader_.token().offset);
    given.push_back(type());
  }
  std::vector<TileType> types;
  try {
    types = result_types(kernel_, in, given.empty() ? TileType{} : given[0]);
  } catch (const Error& error) {
    reader_.fail(word.offset, error.what());
  }
  CAIRN_ASSERT(types.size() == count);
  for (size_t i = 0; i < count; ++i) {
    if (!(types[i] == given[i]))
      reader_.fail(offsets[i], fmt::format("result {} of '{}' is {}, not {}", i, word.text,
                                           to_string(types[i]), to_string(given[i])));
    in.results.push_back(kernel_.new_value(types[i]));
    define(names[i], {.value = in.results.back()});
  }
  if (!in_grid_) return;
  if (const std::string fault = fault_in_grid(kernel_, in); !fault.empty())
    reader_.fail(word.offset, fault);
}

}  // namespace

Kernel parse_kernel(std::string_view text) {
  if (text.size() > kMaxTextBytes)
    throw_error(fmt::format("a kernel's text has at most {} bytes, this one has {}", kMaxTextBytes,
                            text.size()));
  return Parser(text).parse();
}

}  // namespace cairn::tile
