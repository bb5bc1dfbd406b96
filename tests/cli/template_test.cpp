// cairn template render.
#include "tests/cli/program.h"

namespace cairn::test {
namespace {

class TemplateTest : public CliTest {
 protected:
  void SetUp() override {
    CliTest::SetUp();
    write("chat.jinja",
          "{{ bos_token }}{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
          "{% if tools %}{{ tools | tojson }}{% endif %}"
          "{% if add_generation_prompt %}<assistant>{% endif %}{{ mood }}\n\n");
    write("messages.json", R"([{"role": "user", "content": "Grüße"}])");
    write("tools.json", R"([{"name": "f"}])");
  }
  Ran render(std::vector<std::string> more) const {
    more.insert(more.begin(), {"template", "render", "--messages", "messages.json"});
    return run(more);
  }
};

TEST_F(TemplateTest, PromptsAreBytes) {
  EXPECT_EQ(render({"--template", "chat.jinja"}).out, "<user>Grüße\n");
  EXPECT_EQ(render({"--template", "chat.jinja", "--tools", "tools.json", "--add-generation-prompt",
                    "--set", "bos_token=\"<s>\"", "--set", "mood=[1, null]"})
                .out,
            "<s><user>Grüße[{\"name\": \"f\"}]<assistant>[1, None]\n");
  EXPECT_EQ(render({"--template", "chat.jinja", "--json"}).json()["prompt"], "<user>Grüße\n");
}

TEST_F(TemplateTest, TemplatesOfModels) {
  // The fixture's model has none.
  const Ran none = render({"--model", "llama"});
  EXPECT_EQ(none.status, 1);
  EXPECT_NE(none.err.find("there is no chat template"), std::string::npos) << none.err;
  EXPECT_EQ(render({"--model", "llama", "--template", "chat.jinja"}).status, 0);
  write("llama/tokenizer_config.json",
        R"({"bos_token": {"content": "<b>"}, "chat_template": [
            {"name": "default", "template": "{{ bos_token }}plain"},
            {"name": "tool_use", "template": "with tools"}]})");
  EXPECT_EQ(render({"--model", "llama"}).out, "<b>plain");
  EXPECT_EQ(render({"--model", "llama", "--tools", "tools.json"}).out, "with tools");
  EXPECT_EQ(render({"--model", "llama", "--template", "chat.jinja"}).out, "<b><user>Grüße\n");
  write("llama/chat_template.jinja", "of its own file");
  EXPECT_EQ(render({"--model", "llama"}).out, "of its own file");
}

TEST_F(TemplateTest, ErrorsSayWhere) {
  write("broken.jinja", "line\n{% if %}");
  const Ran broken = render({"--template", "broken.jinja"});
  EXPECT_EQ(broken.status, 1);
  EXPECT_EQ(broken.err,
            "cairn: error: chat template, line 2, column 7: expected an expression, found '%}'\n");
  EXPECT_EQ(render({}).status, 2);
  EXPECT_EQ(render({"--template", "chat.jinja", "--set", "mood"}).status, 2);
  EXPECT_EQ(render({"--template", "chat.jinja", "--set", "mood=nope"}).status, 1);
  EXPECT_EQ(render({"--template", "absent.jinja"}).status, 1);
  EXPECT_EQ(render({"--model", "chat.jinja"}).status, 1);
}

}  // namespace
}  // namespace cairn::test
