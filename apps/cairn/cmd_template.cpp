// cairn template render: messages as the prompt that a model was trained on.
#include <fmt/format.h>

#include "apps/cairn/commands.h"
#include "apps/cairn/json.h"
#include "apps/cairn/model_files.h"
#include "cairn/base/file.h"
#include "cairn/models/language_model.h"
#include "cairn/text/chat_template.h"

namespace cairn::app {
namespace {

constexpr uint64_t kLargest = uint64_t{64} << 20;  // bytes of a file of messages

struct Options {
  std::optional<std::string> model, file, tools;
  std::string messages;
  bool add_generation_prompt = false;
  std::vector<std::string> set;
};

int render(const Options& options, Session& session) {
  if (!options.model && !options.file)
    throw UsageError("cairn template render needs --model or --template: whose template it is");
  const text::ModelTemplate found =
      find_template(options.model, options.file, options.tools.has_value());
  const auto parsed = text::ChatTemplate::parse(found.source).value();
  text::ChatInput input;
  input.messages = read_file(options.messages, kLargest).value();
  if (options.tools) input.tools = read_file(*options.tools, kLargest).value();
  input.add_generation_prompt = options.add_generation_prompt;
  input.variables = found.variables;
  for (const std::string& setting : options.set) {
    const size_t equals = setting.find('=');
    if (equals == 0 || equals == setting.npos)
      throw UsageError(fmt::format("--set {} is not KEY=JSON", setting));
    input.variables.emplace_back(setting.substr(0, equals), setting.substr(equals + 1));
  }
  const std::string prompt = parsed.render(input).value();
  if (session.common.json) {
    print_json(session.out, {{"prompt", prompt}});
    return 0;
  }
  session.out.write(prompt);
  if (session.out_terminal.is_terminal && !prompt.ends_with('\n')) session.out.write("\n");
  return 0;
}

}  // namespace

void add_template(const Command& program) {
  const Command group = program.group("template", "Chat templates: messages as prompts.", kModels);
  const auto options = std::make_shared<Options>();
  const Command command =
      group.command("render", "Print the prompt that a chat template makes of messages.");
  command.option("--model", "PATH", options->model,
                 "a model's folder or GGUF file: its template and its special tokens");
  command.option("--template", "FILE", options->file, "a Jinja template, instead of the model's");
  command.option("--messages", "FILE", options->messages,
                 "JSON: [{\"role\": \"user\", \"content\": \"...\"}, ...]", Need::required);
  command.option("--tools", "FILE", options->tools,
                 "JSON: a list of functions that the model may call");
  command.flag("--add-generation-prompt", options->add_generation_prompt,
               "end with what begins the assistant's answer");
  command.option("--set", "KEY=JSON", options->set,
                 "another name for the template, like enable_thinking=false");
  command.example(
      "cairn template render --template chat.jinja --messages messages.json --set "
      "bos_token='\"<s>\"'");
  command.run([options](Session& session) { return render(*options, session); });
}

}  // namespace cairn::app
