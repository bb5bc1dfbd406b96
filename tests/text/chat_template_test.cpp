// Chat templates against Jinja2 (tools/make_template_goldens.py), and templates that attack.
#include "cairn/text/chat_template.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "tests/text/golden.h"

namespace cairn::text {
namespace {

using Json = nlohmann::ordered_json;
using testing::HasSubstr;

Json ordered_golden(const std::string& name) { return Json::parse(golden_text(name)); }

// The moment at which the goldens stand still: Sunday, 26 July 2026, 09:05:03.
std::tm golden_time() {
  std::tm now{};
  now.tm_year = 126;
  now.tm_mon = 6;
  now.tm_mday = 26;
  now.tm_hour = 9;
  now.tm_min = 5;
  now.tm_sec = 3;
  now.tm_wday = 0;
  now.tm_yday = 206;
  return now;
}

Result<std::string> render(std::string_view source, const ChatInput& input) {
  auto parsed = ChatTemplate::parse(source);
  if (!parsed) return parsed.error();
  return parsed.value().render(input);
}

std::string error_of(std::string_view source, const ChatInput& input = {}) {
  const auto text = render(source, input);
  return text ? "no error, but: " + text.value().substr(0, 100) : text.error().what();
}

std::string digest_of(const std::string& text) {
  return fmt::format("{:016x}", static_cast<uint64_t>(XXH64(text.data(), text.size(), 0)));
}

TEST(ChatTemplate, ExpressionsEqualJinja2) {
  const Json golden = ordered_golden("template_expressions.json");
  ChatInput input;
  input.now = golden_time();
  for (const auto& [name, value] : golden["variables"].items())
    input.variables.emplace_back(name, value.dump());
  for (const Json& item : golden["cases"]) {
    const auto source = item[0].get<std::string>();
    const auto text = render(source, input);
    if (item[1].is_null()) {
      EXPECT_FALSE(text) << source << "\ngives " << (text ? text.value() : "");
    } else {
      EXPECT_EQ(text ? text.value() : text.error().what(), item[1].get<std::string>()) << source;
    }
  }
}

TEST(ChatTemplate, PublishedTemplatesEqualJinja2) {
  CAIRN_REQUIRE_DATA("chat-templates");
  const Json golden = ordered_golden("template_prompts.json");
  EXPECT_EQ(golden["results"].size(), 34u);
  for (const auto& [name, results] : golden["results"].items()) {
    const auto parsed =
        ChatTemplate::parse(read_file(test::data_path("chat-templates/" + name).string()).value());
    ASSERT_TRUE(parsed) << name << ": " << parsed.error().what();
    for (const Json& result : results) {
      ChatInput input;
      input.now = golden_time();
      input.messages = golden["conversations"][result[0].get<std::string>()].dump();
      input.tools = golden["tools"][result[1].get<std::string>()].dump();
      input.add_generation_prompt = result[2].get<bool>();
      input.variables = {{"bos_token", "\"<s>\""}, {"eos_token", "\"</s>\""}};
      for (const auto& [key, value] : golden["settings"][result[3].get<std::string>()].items())
        input.variables.emplace_back(key, value.dump());
      const auto text = parsed.value().render(input);
      const std::string label = name + ": " + result.dump();
      if (result[4].is_null()) {
        EXPECT_FALSE(text) << label;
        continue;
      }
      ASSERT_TRUE(text) << label << "\n" << text.error().what();
      EXPECT_EQ(text.value().size(), result[4][0].get<size_t>()) << label << "\n" << text.value();
      EXPECT_EQ(digest_of(text.value()), result[4][1].get<std::string>()) << label;
    }
  }
}

TEST(ChatTemplate, ErrorsSayWhere) {
  EXPECT_EQ(error_of("a\n  {% if x %}"),
            "chat template, line 2, column 6: this 'if' has no 'endif'");
  EXPECT_EQ(error_of("{{ 1 +}}"),
            "chat template, line 1, column 7: expected an expression, found '}}'");
  EXPECT_EQ(error_of("é{% nope %}"), "chat template, line 1, column 5: unknown tag 'nope'");
  EXPECT_EQ(error_of("\n\n{{ 'open }}"), "chat template, line 3, column 4: this string has no end");
  EXPECT_EQ(error_of("x{{ foo.bar }}"), "chat template, line 1, column 9: 'foo' is undefined");
  EXPECT_EQ(error_of("{{ raise_exception('roles must alternate') }}"),
            "chat template, line 1, column 19: the template refuses this: roles must alternate");
  EXPECT_EQ(error_of("{{ 5 | shout }}"),
            "chat template, line 1, column 8: there is no filter 'shout'");
  EXPECT_EQ(error_of("{{ 'a' + 1 }}"),
            "chat template, line 1, column 8: '+' does not work for str and int");
  EXPECT_EQ(error_of("{% include 'x' %}"),
            "chat template, line 1, column 4: 'include' is for templates of several files; a chat "
            "template is one");
  EXPECT_THAT(error_of("", {.messages = "[{]"}), HasSubstr("'messages': no valid JSON"));
}

TEST(ChatTemplate, HostileTemplatesStop) {
  const char* endless[] = {
      "{% for a in range(100000) %}{% for b in range(100000) %}x{% endfor %}{% endfor %}",
      "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
      "{% set ns = namespace(x='ab') %}{% for a in range(99) %}{% set ns.x = ns.x + ns.x %}"
      "{% endfor %}",
      "{% set ns = namespace(x=[1]) %}{% for a in range(99) %}{% set ns.x = ns.x + ns.x %}"
      "{% endfor %}",
      "{{ 'a' * 10**9 }}",
      "{{ 'a' * 9223372036854775807 }}",
      "{{ [0] * 10**12 }}",
      "{{ 'a'.ljust(10**12) }}",
      "{{ 'a' | center(10**12) }}",
      "{{ 'a'.zfill(10**15) }}",
      "{{ 'a' | indent(10**12) }}",
      "{{ '%999999999d' % 1 }}",
      "{{ '{:999999999}'.format(1) }}",
      "{% set ns = namespace(x='aaaaaaaaaaaaaaaaaaaa') %}{% for a in range(99) %}"
      "{% set ns.x = ns.x.replace('a', ns.x) %}{% endfor %}",
      "{% set ns = namespace(x='a') %}{% for a in range(99) %}{% set ns.x = ns.x.join(ns.x) ~ 'aa' "
      "%}"
      "{% endfor %}",
      "{% set ns = namespace(x=[]) %}{% for a in range(1000) %}{% set ns.x = [ns.x] %}{% endfor %}",
      "{% set ns = namespace(x={}) %}{% for a in range(1000) %}{% set ns.x = {'x': ns.x} %}"
      "{% endfor %}",
      "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
      "{% macro m() %}{% call m() %}{% endcall %}{% endmacro %}{{ m() }}",
      "{% for x in [[1]] recursive %}{{ loop([[1]]) }}{% endfor %}",
      "{% for i in range(100000) %}{{ range(100000) | list | length }}{% endfor %}",
      "{{ range(100000) | map('string') | list | unique | list | length }}",
      "{{ strftime_now('%A' * 100000) }}",
  };
  // A tenth of the limits, to be quick; their size changes nothing.
  ChatInput input;
  input.limits.steps /= 10;
  input.limits.bytes /= 10;
  for (const char* source : endless) {
    EXPECT_THAT(error_of(source, input), HasSubstr("chat template, line 1, column ")) << source;
  }
}

TEST(ChatTemplate, DeepSourcesAreRefused) {
  const std::string deep[] = {
      repeated("(", 100'000),
      repeated("{{", 100'000),
      "{{ " + repeated("(", 100'000) + "1" + repeated(")", 100'000) + " }}",
      "{{ " + repeated("[", 100'000) + repeated("]", 100'000) + " }}",
      "{{ " + repeated("not ", 100'000) + "1 }}",
      "{{ " + repeated("-", 100'000) + "1 }}",
      "{{ 1" + repeated(" + 1", 100'000) + " }}",
      "{{ 1" + repeated(" | abs", 100'000) + " }}",
      "{{ a" + repeated(".a", 100'000) + " }}",
      "{{ a" + repeated(" if a else a", 100'000) + " }}",
      "{{ 1" + repeated(" ** 1", 100'000) + " }}",
      repeated("{% if 1 %}", 100'000),
      repeated("{% if 1 %}", 5'000) + repeated("{% endif %}", 5'000),
      repeated("{% for a in b %}", 5'000) + repeated("{% endfor %}", 5'000),
      repeated("{% macro a() %}", 5'000) + repeated("{% endmacro %}", 5'000),
      "{% for " + repeated("(", 100'000) + " in x %}",
  };
  for (size_t i = 1; i < std::size(deep); ++i) {
    const auto text = render(deep[i], {});
    EXPECT_FALSE(text) << i << " " << deep[i].substr(0, 40);
  }
  // Long is no deep.
  EXPECT_EQ(render("{{ 1" + repeated(" ~ 1", 10'000) + " }}", {}).value(), repeated("1", 10'001));
  EXPECT_EQ(render(repeated("{% if 1 %}a{% endif %}", 10'000), {}).value(), repeated("a", 10'000));
}

TEST(ChatTemplate, ValuesThatHoldEachOtherAreFreed) {
  // Sanitizers see what is left behind.
  EXPECT_EQ(
      render("{% set a = namespace() %}{% set b = namespace(a=a) %}{% set a.b = [b, {'a': a}] %}"
             "{% macro m() %}{{ a.b | length }}{% endmacro %}{% set a.m = m %}{% set a.l = [m] %}"
             "{% for x in [1] %}{% macro n() %}{{ x }}{% endmacro %}{% set a.n = n %}"
             "{% set a.loop = loop %}{% endfor %}{{ a.m() }}{{ a.n() }}{{ a.loop.index }}",
             {})
          .value(),
      "211");
}

TEST(ChatTemplate, InputIsNotChanged) {
  ChatInput input{.messages = R"([{"role": "user", "content": ["a"]}])"};
  EXPECT_THAT(error_of("{{ messages.append(1) }}", input), HasSubstr("handed to the template"));
  EXPECT_THAT(error_of("{{ messages[0].content.pop() }}", input), HasSubstr("handed to"));
  EXPECT_THAT(error_of("{{ messages[0].update({'a': 1}) }}", input), HasSubstr("may not change"));
  EXPECT_THAT(error_of("{% set l = [] %}{{ l.append(l) }}"), HasSubstr("numbers and texts only"));
}

TEST(ChatTemplate, LimitsCount) {
  ChatInput input;
  input.limits.steps = 1000;
  EXPECT_THAT(error_of("{% for i in range(1000) %}{% endfor %}", input),
              HasSubstr("stopped after 1000 steps"));
  input = {};
  input.limits.bytes = 1 << 20;
  EXPECT_THAT(error_of("{{ 'a' * 2000000 }}", input), HasSubstr("more than 1 MiB"));
}

}  // namespace
}  // namespace cairn::text
