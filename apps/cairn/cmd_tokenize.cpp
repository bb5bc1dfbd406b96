// cairn tokenize: text to token ids and back.
#include <fmt/format.h>

#include "apps/cairn/commands.h"
#include "apps/cairn/ids.h"
#include "apps/cairn/json.h"
#include "cairn/base/file.h"
#include "cairn/plot/colors.h"
#include "cairn/text/utf8.h"

namespace cairn::app {
namespace {

struct Options {
  std::optional<std::string> model, tokenizer, text, file, ids;
  bool add_special = false, parse_special = false;
};

// The tokens as pieces of text in changing colours, control characters as their names: for people
// who want to see where a tokenizer cuts.
std::string pieces_text(const text::Tokenizer& tokenizer, std::span<const int32_t> ids) {
  constexpr size_t kMost = 200;
  constexpr plot::Rgb kGrounds[] = {{38, 70, 83}, {42, 90, 60}, {110, 75, 20}, {95, 45, 45}};
  std::string out;
  for (size_t i = 0; i < std::min(ids.size(), kMost); ++i) {
    std::string piece;
    for (char c : text::replace_invalid_utf8(tokenizer.token_bytes(ids[i]))) {
      if (c == '\n') {
        piece += "⏎";
      } else if (static_cast<unsigned char>(c) < 32 || c == 127) {
        piece += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
      } else {
        piece += c;
      }
    }
    out +=
        plot::ansi::background(kGrounds[i % 4]) + plot::ansi::foreground({240, 240, 240}) + piece;
  }
  out += plot::ansi::kReset;
  if (ids.size() > kMost) out += " …";
  return out;
}

int decode(const Options& options, const text::Tokenizer& tokenizer, Session& session) {
  const std::string text = tokenizer.decode(parse_ids(*options.ids));
  if (session.common.json) {
    print_json(session.out, {{"text", text::replace_invalid_utf8(text)}});
    return 0;
  }
  session.out.write(text);
  if (session.out_terminal.is_terminal && !text.ends_with('\n')) session.out.write("\n");
  return 0;
}

int encode(const Options& options, const text::Tokenizer& tokenizer, Session& session) {
  const std::string text = options.text ? *options.text : read_file(*options.file).value();
  const auto ids = tokenizer.encode(
      text, {.add_special = options.add_special, .parse_special = options.parse_special});
  if (session.common.json) {
    print_json(session.out, {{"ids", ids}});
    return 0;
  }
  session.out.line(ids_text(ids));
  session.out.flush();
  if (session.err_terminal.is_terminal) {
    if (session.err_terminal.color && session.err_terminal.unicode && !ids.empty())
      session.note(pieces_text(tokenizer, ids));
    session.note(session.err_terminal.dim(fmt::format(
        "{} bytes, {} tokens{}", text.size(), ids.size(),
        ids.empty() ? ""
                    : fmt::format(", {:.2f} bytes a token", static_cast<double>(text.size()) /
                                                                static_cast<double>(ids.size())))));
  }
  return 0;
}

int run(const Options& options, Session& session) {
  if (options.model.has_value() + options.tokenizer.has_value() != 1)
    throw UsageError("cairn tokenize needs one of --model and --tokenizer: whose tokens they are");
  if (options.text.has_value() + options.file.has_value() + options.ids.has_value() != 1)
    throw UsageError("cairn tokenize needs one of --text, --file and --ids: what to convert");
  const auto tokenizer =
      options.model ? tokenizer_of_model(*options.model) : tokenizer_of_file(*options.tokenizer);
  return options.ids ? decode(options, *tokenizer, session) : encode(options, *tokenizer, session);
}

}  // namespace

void add_tokenize(const Command& program) {
  const auto options = std::make_shared<Options>();
  const Command command =
      program.command("tokenize", "Turn text into token ids, or ids into text.", kModels);
  command.option(
      "--model", "PATH", options->model,
      "the tokenizer of this model: a folder, a GGUF file, or a .bin with a tok*.bin beside it");
  command.option("--tokenizer", "PATH", options->tokenizer,
                 "tokenizer.json, tokenizer.model, vocab.bpe, *.tiktoken, tok*.bin, or a folder");
  command.option("--text", "TEXT", options->text, "text to turn into ids");
  command.option("--file", "FILE", options->file,
                 "the same for the bytes of a file, newlines included");
  command.option("--ids", "IDS", options->ids,
                 "ids to turn into text: 1,2,3, or @FILE with a JSON list");
  command.flag("--add-special", options->add_special,
               "add what the model expects around a text (BOS, EOS)");
  command.flag("--parse-special", options->parse_special,
               "read special tokens in the text, like <|endoftext|>, as tokens");
  command.example("cairn tokenize --tokenizer tokenizer.json --text \"Once upon a time\"");
  command.run([options](Session& session) { return run(*options, session); });
}

}  // namespace cairn::app
