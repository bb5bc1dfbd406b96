// Tokens to statements: tags and the text between them.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "cairn/text/jinja_parser.h"

namespace cairn::text::jinja {
namespace {

using Kind = Statement::Kind;
using Names = std::initializer_list<std::string_view>;

constexpr int kDeepest = 100;  // tags in tags

class StatementParser {
 public:
  explicit StatementParser(std::string_view source) : parser_(source, tokenize(source)) {}

  Statements run() {
    Statements all = body({}, "", 0);
    return all;
  }

 private:
  // Up to one of the tags `ends`, which is current afterwards: its name is the current token.
  // `begun` names what is to be closed, for the error at the end of the template.
  Statements body(Names ends, std::string_view begun, size_t begun_at) {
    if (++depth_ > kDeepest)
      parser_.fail_at(begun_at, fmt::format("tags nest deeper than {} levels", kDeepest));
    Statements out;
    for (;;) {
      const Token token = parser_.next();
      if (token.kind == Token::Kind::end) {
        if (ends.size() > 0)
          parser_.fail_at(begun_at,
                          fmt::format("this '{}' has no '{}'", begun, std::data(ends)[0]));
        break;
      }
      if (token.kind == Token::Kind::data) {
        Statement text{.kind = Kind::text, .at = token.at};
        text.text = token.text;
        out.push_back(std::move(text));
      } else if (token.kind == Token::Kind::print_begin) {
        Statement print{.kind = Kind::print, .at = token.at};
        print.value = parser_.tuple();
        end_of_tag(Token::Kind::print_end);
        out.push_back(std::move(print));
      } else {
        const Token name = parser_.current();
        if (name.kind != Token::Kind::name) parser_.fail("the name of a tag");
        if (std::find(ends.begin(), ends.end(), name.text) != ends.end()) break;
        parser_.next();
        out.push_back(tag(name, ends));
      }
    }
    --depth_;
    return out;
  }

  void end_of_tag(Token::Kind kind = Token::Kind::tag_end) {
    if (parser_.current().kind != kind)
      parser_.fail(kind == Token::Kind::print_end ? "'}}'" : "'%}'");
    parser_.next();
  }

  // The rest of a tag, then a body up to {% end %} and that tag.
  Statements block(std::string_view end, const Token& tag) {
    end_of_tag();
    Statements inside = body({end}, tag.text, tag.at);
    parser_.next();
    end_of_tag();
    return inside;
  }

  Statement tag(const Token& name, Names open) {
    Statement made{.at = name.at};
    if (name.text == "if") {
      branches(made, name);
    } else if (name.text == "for") {
      loop(made, name);
    } else if (name.text == "set") {
      set(made, name);
    } else if (name.text == "macro") {
      const size_t from = parser_.position();
      made.kind = Kind::macro;
      made.text = parser_.expect_name("the name of the macro");
      made.parameters = parameters();
      made.bodies.push_back(captured("endmacro", name));
      made.more_positional = parser_.mentioned(from, "varargs");
      made.more_named = parser_.mentioned(from, "kwargs");
    } else if (name.text == "call") {
      made.kind = Kind::call_block;
      if (parser_.current().is_sign("(")) made.parameters = parameters();
      made.value = parser_.expression();
      if (made.value->kind != Expression::Kind::call)
        parser_.fail_at(made.value->at, "{% call %} needs a call of a macro");
      made.bodies.push_back(captured("endcall", name));
    } else if (name.text == "filter") {
      made.kind = Kind::filter_block;
      made.value = parser_.filters_of_block();
      made.bodies.push_back(captured("endfilter", name));
    } else if (name.text == "with") {
      with(made, name);
    } else if (name.text == "generation") {
      // Where transformers marks what the model wrote; here only a scope, as it is there.
      made.kind = Kind::scope;
      made.bodies.push_back(captured("endgeneration", name));
    } else if (name.text == "break" || name.text == "continue") {
      made.kind = name.text == "break" ? Kind::break_loop : Kind::continue_loop;
      if (loops_ == 0)
        parser_.fail_at(name.at, fmt::format("'{}' stands outside of a loop", name.text));
      end_of_tag();
    } else {
      unknown(name, open);
    }
    return made;
  }

  [[noreturn]] void unknown(const Token& name, Names open) const {
    static constexpr std::string_view kFiles[] = {"include", "import", "from", "extends", "block"};
    if (std::find(std::begin(kFiles), std::end(kFiles), name.text) != std::end(kFiles)) {
      parser_.fail_at(
          name.at,
          fmt::format("'{}' is for templates of several files; a chat template is one", name.text));
    }
    std::string expected;
    for (const std::string_view end : open)
      expected += fmt::format("{}'{}'", expected.empty() ? "; expected " : " or ", end);
    parser_.fail_at(name.at, fmt::format("unknown tag '{}'{}", name.text, expected));
  }

  void branches(Statement& made, const Token& name) {
    made.kind = Kind::branches;
    made.conditions.push_back(parser_.tuple(ExpressionParser::Conditional::no));
    for (;;) {
      end_of_tag();
      made.bodies.push_back(body({"endif", "elif", "else"}, "if", name.at));
      if (parser_.skip_name("elif")) {
        made.conditions.push_back(parser_.tuple(ExpressionParser::Conditional::no));
        continue;
      }
      if (parser_.skip_name("else")) {
        end_of_tag();
        made.bodies.push_back(body({"endif"}, "if", name.at));
      }
      parser_.next();
      return end_of_tag();
    }
  }

  static bool names_loop(const Target& target) {
    return target.name == "loop" || std::ranges::any_of(target.parts, names_loop);
  }

  void loop(Statement& made, const Token& name) {
    made.kind = Kind::loop;
    made.targets.push_back(target("in"));
    if (names_loop(made.targets[0]))
      parser_.fail_at(made.targets[0].at, "'loop' is the loop itself, so no element can be it");
    if (!parser_.skip_name("in")) parser_.fail("'in'");
    made.value = parser_.tuple(ExpressionParser::Conditional::no);
    if (parser_.skip_name("if")) made.filter = parser_.expression();
    made.recursive = parser_.skip_name("recursive");
    end_of_tag();
    ++loops_;
    made.bodies.push_back(body({"endfor", "else"}, "for", name.at));
    --loops_;
    if (parser_.skip_name("else")) {
      end_of_tag();
      made.bodies.push_back(body({"endfor"}, "for", name.at));
    }
    parser_.next();
    end_of_tag();
  }

  void set(Statement& made, const Token& name) {
    made.targets.push_back(target("="));
    if (parser_.skip_sign("=")) {
      made.kind = Kind::set;
      made.value = parser_.tuple();
      return end_of_tag();
    }
    made.kind = Kind::set_block;
    if (!made.targets[0].parts.empty()) parser_.fail("'='");
    if (parser_.skip_sign("|")) made.value = parser_.filters_of_block();
    made.bodies.push_back(captured("endset", name));
  }

  void with(Statement& made, const Token& name) {
    made.kind = Kind::with;
    while (parser_.current().kind != Token::Kind::tag_end) {
      if (!made.targets.empty()) parser_.expect_sign(",");
      made.targets.push_back(one_target());
      parser_.expect_sign("=");
      made.conditions.push_back(parser_.expression());
    }
    made.bodies.push_back(block("endwith", name));
  }

  // A body that becomes a text: it cannot end the loops around it.
  Statements captured(std::string_view end, const Token& name) {
    const int loops = std::exchange(loops_, 0);
    Statements inside = block(end, name);
    loops_ = loops;
    return inside;
  }

  std::vector<Parameter> parameters() {
    std::vector<Parameter> list;
    parser_.expect_sign("(");
    while (!parser_.current().is_sign(")")) {
      if (!list.empty()) parser_.expect_sign(",");
      if (parser_.current().is_sign(")")) break;
      const size_t at = parser_.current().at;
      Parameter parameter{parser_.expect_name("the name of a parameter"), nullptr};
      if (std::ranges::count(list, parameter.name, &Parameter::name) > 0)
        parser_.fail_at(at, fmt::format("there are two parameters '{}'", parameter.name));
      if (parser_.skip_sign("=")) {
        parameter.fallback = parser_.expression();
      } else if (!list.empty() && list.back().fallback) {
        parser_.fail_at(at, "a parameter without a default stands behind one that has it");
      }
      list.push_back(std::move(parameter));
    }
    parser_.expect_sign(")");
    return list;
  }

  Target one_target() {
    const Token token = parser_.current();
    if (parser_.skip_sign("(")) {
      Target inside = target(")");
      parser_.expect_sign(")");
      return inside;
    }
    Target made{.at = token.at};
    made.name = parser_.expect_name("a name to assign to");
    static constexpr std::string_view kConstants[] = {"true", "false", "none",
                                                      "True", "False", "None"};
    if (std::find(std::begin(kConstants), std::end(kConstants), made.name) != std::end(kConstants))
      parser_.fail_at(token.at, fmt::format("'{}' cannot be assigned to", made.name));
    if (parser_.skip_sign(".")) made.attribute = parser_.expect_name("a name after '.'");
    return made;
  }

  // `end` follows the targets.
  Target target(std::string_view end) {
    if (++depth_ > kDeepest) parser_.fail("fewer brackets");
    Target first = one_target();
    if (parser_.current().is_sign(",")) {
      Target all{.at = first.at};
      all.parts.push_back(std::move(first));
      while (parser_.skip_sign(",")) {
        if (parser_.current().is_name(end) || parser_.current().is_sign(end)) break;
        all.parts.push_back(one_target());
      }
      first = std::move(all);
    }
    --depth_;
    return first;
  }

  ExpressionParser parser_;
  int depth_ = 0;
  int loops_ = 0;
};

}  // namespace

Statements parse(std::string_view normalized) { return StatementParser(normalized).run(); }

}  // namespace cairn::text::jinja
