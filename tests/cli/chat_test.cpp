// cairn chat: over lines, and typed on a pseudo-terminal.
#include <utility>

#include "tests/cli/program.h"

namespace cairn::test {
namespace {

class ChatTest : public CliTest {
 protected:
  void SetUp() override {
    CliTest::SetUp();
    write("llama/chat_template.jinja",
          "{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}<assistant>");
  }
  // Answers "aaaa": tokens of bytes are in GPT-2's order, behind <|endoftext|>.
  const std::string arguments_ =
      "chat --model llama --context 600 --temperature 0 --max-tokens 4 --logit-bias 65=1000";
  Ran lines(const std::string& input, const std::string& more = "") const {
    write("lines.txt", input);
    return shell("cairn " + arguments_ + " " + more + " < lines.txt", {.folder = path("")});
  }
  Ran type(std::vector<std::pair<std::string, std::string>> typed,
           const std::vector<std::string>& more = {}) const {
    std::vector<std::string> all{"chat", "--model",       "llama",  "--context",
                                 "600",  "--temperature", "0",      "--max-tokens",
                                 "4",    "--logit-bias",  "65=1000"};
    all.insert(all.end(), more.begin(), more.end());
    // Behind an answer the next prompt: until then Ctrl-C is about the answer.
    std::vector<std::pair<std::string, std::string>> steps;
    for (auto& [wait, keys] : typed) {
      if (wait == "aaaa") steps.emplace_back(std::exchange(wait, "> "), "");
      steps.emplace_back(std::move(wait), std::move(keys));
    }
    return cairn(all, {.folder = path(""),
                       .environment = {"TERM=xterm"},
                       .terminal = true,
                       .typed = std::move(steps)});
  }
  // Questions of the session file, in order.
  std::vector<std::string> questions(const std::string& file) const {
    std::vector<std::string> all;
    const auto json = nlohmann::json::parse(read(file));
    for (const auto& m : json["messages"])
      if (m["role"] == "user") all.push_back(m["content"]);
    return all;
  }
};

TEST_F(ChatTest, EachLineIsATurn) {
  const Ran ran = lines("one\n\ntwo \\\nthree\n", "--session s.json");
  EXPECT_EQ(ran.status, 0) << ran.err;
  EXPECT_EQ(ran.out, "aaaa\naaaa\n");
  EXPECT_EQ(questions("s.json"), (std::vector<std::string>{"one", "two \nthree"}));
}

// A session that is opened again goes on from its keys and values; without them all is read.
TEST_F(ChatTest, ASessionKeepsItsCache) {
  const auto turn = [&](const std::string& question, const std::string& more = "") {
    Ran ran = lines(question + "\n", "--json --session s.json " + more);
    EXPECT_EQ(ran.status, 0) << ran.err;
    const auto json = nlohmann::json::parse(ran.out);
    return std::tuple(json["prompt_tokens"].get<int>(), json["reused_tokens"].get<int>(), ran.err);
  };
  const auto [first, none, quiet] = turn("one");
  EXPECT_EQ(none, 0);
  const auto [second, kept, still_quiet] = turn("two");
  EXPECT_EQ(kept, first + 3);  // the answer's last letter was never fed
  EXPECT_EQ(still_quiet, quiet);
  const std::string cache = read("s.json.cache");
  const auto [third, of_other_type, why] = turn("three", "--kv f16");
  EXPECT_EQ(of_other_type, 0);
  EXPECT_NE(why.find("the conversation is read from its start"), std::string::npos) << why;
  std::string damaged = cache;
  damaged[damaged.size() / 2] ^= 1;
  write("s.json.cache", damaged);
  const auto [fourth, of_damaged, damage] = turn("four");
  EXPECT_EQ(of_damaged, 0);
  EXPECT_NE(damage.find("is damaged"), std::string::npos) << damage;
  // One that is older than the conversation has the beginning of it.
  write("s.json.cache", cache);
  const auto [fifth, of_older, nothing] = turn("five");
  EXPECT_EQ(of_older, second + 3);
  EXPECT_EQ(questions("s.json"), (std::vector<std::string>{"one", "two", "three", "four", "five"}));
}

TEST_F(ChatTest, JsonSaysWhatTheCacheHad) {
  const Ran ran = lines("one\ntwo\n/retry\n/undo\nother\n", "--json --system Short");
  EXPECT_EQ(ran.status, 0) << ran.err;
  std::vector<nlohmann::json> turns;
  std::istringstream out(ran.out);
  for (std::string line; std::getline(out, line);) turns.push_back(nlohmann::json::parse(line));
  ASSERT_EQ(turns.size(), 4u) << ran.out;
  const auto number = [&](size_t turn, const char* key) { return turns[turn][key].get<int>(); };
  EXPECT_EQ(turns[0]["text"], "aaaa");
  EXPECT_EQ(turns[0]["stop_reason"], "length");
  // "<system>Short\n<user>one\n<assistant>"
  EXPECT_EQ(number(0, "prompt_tokens"), 14 + 10 + 11);
  EXPECT_EQ(number(0, "reused_tokens"), 0);
  EXPECT_EQ(number(1, "reused_tokens"), number(0, "prompt_tokens") + 3);
  EXPECT_EQ(number(1, "prompt_tokens"), number(0, "prompt_tokens") + 5 + 10 + 11);
  EXPECT_EQ(number(2, "reused_tokens"), number(2, "prompt_tokens") - 1);
  EXPECT_EQ(number(3, "reused_tokens"), number(0, "prompt_tokens") + 5 + 6);
}

TEST_F(ChatTest, CommandsOverLines) {
  const Ran ran = lines(
      "/help\n/set\n/set max-tokens=2\n/stats\none\n/save s.json\n/reset\n/load "
      "s.json\n/file story.txt\nwhat?\n/save t.json\n/exit\nnever\n");
  EXPECT_EQ(ran.status, 0) << ran.err;
  EXPECT_EQ(ran.out, "aa\naa\n");
  EXPECT_NE(ran.err.find("/retry"), std::string::npos) << ran.err;
  EXPECT_NE(ran.err.find("max-tokens=4"), std::string::npos) << ran.err;
  EXPECT_NE(ran.err.find("2 tokens (length)"), std::string::npos) << ran.err;
  const auto asked = questions("t.json");
  ASSERT_EQ(asked.size(), 2u);
  EXPECT_EQ(asked[0], "one");
  EXPECT_EQ(asked[1], read("story.txt") + "what?");
}

TEST_F(ChatTest, MistakesOfLinesEndIt) {
  EXPECT_TRUE(fails(lines("/stat\n"), 2, "did you mean '/stats'"));
  EXPECT_TRUE(fails(lines("/set temperatur=1\n"), 2, "did you mean 'temperature'"));
  EXPECT_TRUE(fails(lines("/set top-p=7\n"), 2, "top-p takes a probability"));
  EXPECT_TRUE(fails(lines("/load nothing.json\n"), 1, "nothing.json"));
  EXPECT_TRUE(fails(lines("/load x.npy\n"), 1, "'x.npy' is no conversation of cairn chat"));
  write("s.json", "{\"messages\": 3}");
  EXPECT_TRUE(fails(lines("one\n", "--session s.json"), 1, "\"messages\" are no list"));
  EXPECT_EQ(read("s.json"), "{\"messages\": 3}");  // left as it is
}

TEST_F(ChatTest, ContextsThatAreFull) {
  const std::string long_line(700, 'x');
  EXPECT_TRUE(fails(lines(long_line + "\n"), 1, "and the context 600"));
  std::string many;
  for (int i = 0; i < 12; ++i) many += std::string(100, 'x') + "\n";
  const Ran ran = lines(many, "--context-shift --session s.json");
  EXPECT_EQ(ran.status, 0) << ran.err;
  EXPECT_EQ(questions("s.json").size(), 12u);
}

TEST_F(ChatTest, ModelsWithoutATemplate) {
  std::filesystem::remove(path("llama/chat_template.jinja"));
  const Ran none = lines("one\n");
  EXPECT_TRUE(fails(none, 1, "--template FILE"));
  EXPECT_NE(none.err.find("cairn generate"), std::string::npos);
  write("own.jinja", "{{ messages[-1].content }}");
  EXPECT_EQ(lines("one\n", "--template own.jinja").out, "aaaa\n");
  write("broken.jinja", "{% if %}");
  EXPECT_TRUE(fails(lines("one\n", "--template broken.jinja"), 1, "line 1, column 7"));
}

TEST_F(ChatTest, TypedOnATerminal) {
  // Cursor keys, words, both ends, deleting, UTF-8, history, several lines in three ways.
  const Ran ran =
      type({{"> ", "wrld\x1b[D\x1b[D\x1b[Do\x1b[Hhello \x1b[F!\r"},  // hello world!
            {"aaaa", "x\xC3\xBC\xE4\xB8\x96y\x1b[D\x7f\x7f-\r"},     // x-y
            {"aaaa", "\x1b[A\x1b[A\x01\x1b[3~J\r"},                  // Jello world!
            {"aaaa", "one\\\rtwo\x1b\rthree\r"},                     // three lines
            {"aaaa", "\x1b[200~p\rq\nr\x1b[201~ s t\x17u\r"},        // pasted lines, one word cut
            {"aaaa", "dropped\x03/save s.json\r"},
            {"saved", "\x04"}});
  EXPECT_EQ(ran.status, 0) << ran.out;
  EXPECT_EQ(questions("s.json"), (std::vector<std::string>{"hello world!", "x-y", "Jello world!",
                                                           "one\ntwo\nthree", "p\nq\nr s u"}))
      << ran.out;
}

TEST_F(ChatTest, MistakesOnATerminalAreToldAndItGoesOn) {
  const Ran ran = type({{"> ", "/nothing\r"},
                        {"no command /nothing", std::string(700, 'x') + "\r"},
                        {"and the context 600", "/save s.json\r"},
                        {"saved", "fine\r"},
                        {"aaaa", "\x03"},
                        {"Ctrl-D ends", "/exit\r"}});
  EXPECT_EQ(ran.status, 0) << ran.out;
  EXPECT_TRUE(questions("s.json").empty());
}

// Where the cursor cannot be moved the terminal edits its lines itself, and no sequence is sent.
TEST_F(ChatTest, ATerminalThatMovesNothing) {
  const Ran ran = cairn({"chat", "--model", "llama", "--context", "600", "--temperature", "0",
                         "--max-tokens", "4", "--logit-bias", "65=1000", "--session", "s.json"},
                        {.folder = path(""),
                         .environment = {"TERM=dumb"},
                         .terminal = true,
                         .typed = {{"> ",
                                    "onr\x7F"
                                    "e\n"},
                                   {"aaaa", ""},
                                   {"> ", "/nothing\n"},
                                   {"no command /nothing", ""},
                                   {"> ", "two\\\nthree\n"},
                                   {"aaaa", ""},
                                   {"> ", "\x04"}}});
  EXPECT_EQ(ran.status, 0) << ran.out;
  EXPECT_EQ(ran.out.find('\x1b'), std::string::npos) << ran.out;
  EXPECT_EQ(questions("s.json"), (std::vector<std::string>{"one", "two\nthree"}));
  const Ran again = type({{"s.json has 4 messages", ""}, {"> ", "\x04"}}, {"--session", "s.json"});
  EXPECT_EQ(again.status, 0) << again.out;
}

// What would move a terminal's cursor is not sent to it; a pipe gets what the model wrote.
TEST_F(ChatTest, ControlCharactersOfAnswers) {
  const auto ids = run({"tokenize", "--model", "llama", "--text", "\x1b", "--json"}).json()["ids"];
  ASSERT_EQ(ids.size(), 1u);
  const std::string bias = std::to_string(ids[0].get<int>()) + "=2000";
  const Ran shown = type({{"> ", "one\r"}, {"\uFFFD\uFFFD\uFFFD\uFFFD", ""}, {"> ", "\x04"}},
                         {"--logit-bias", bias});
  EXPECT_EQ(shown.status, 0) << shown.out;
  EXPECT_EQ(lines("one\n", "--logit-bias " + bias).out, "\x1b\x1b\x1b\x1b\n");
}

// Ctrl-C stops the answer, which stays as far as it came, and the chat goes on.
TEST_F(ChatTest, CtrlCStopsAnAnswer) {
  const Ran ran = type(
      {{"> ", "one\r"}, {"aaaaaaaa", "\x03"}, {"(stopped)", "/save s.json\r"}, {"saved", "\x04"}},
      {"--max-tokens", "1000000", "--context-shift"});
  EXPECT_EQ(ran.status, 0) << ran.out;
  const nlohmann::json messages = nlohmann::json::parse(read("s.json"))["messages"];
  ASSERT_EQ(messages.size(), 2u);
  EXPECT_TRUE(messages[1]["content"].get<std::string>().starts_with("aaaaaaaa"));
}

TEST_F(ChatTest, SignalsEndItAndLeaveTheTerminalAsItWas) {
  const Ran ran = cairn({"chat", "--model", "llama"}, {.folder = path(""),
                                                       .environment = {"TERM=xterm"},
                                                       .terminal = true,
                                                       .typed = {{"never", ""}},
                                                       .interrupt_on = "> ",
                                                       .signal = SIGTERM});
  EXPECT_EQ(ran.status, 128 + SIGTERM) << ran.out;
  EXPECT_NE(ran.out.find("\x1b[?2004l"), std::string::npos);
  // Over lines, Ctrl-C ends the program as it ends any other.
  write("lines.txt", "one\ntwo\n");
  const Ran over_lines =
      shell("exec cairn " + arguments_ + " --max-tokens 1000000 --context-shift < lines.txt",
            {.folder = path(""), .interrupt_on = "aaaa"});
  EXPECT_EQ(over_lines.status, 130) << over_lines.err;
}

}  // namespace
}  // namespace cairn::test
