// Functions that templates call by name, and how arguments find their parameters.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "cairn/text/jinja_arguments.h"
#include "cairn/text/jinja_run.h"

namespace cairn::text::jinja {
namespace {

constexpr int64_t kLongestRange = 100'000;  // as in Jinja's sandbox

Value object(std::string name, Function::Call call) {
  return std::shared_ptr<Object>(std::make_shared<Function>(std::move(name), std::move(call)));
}

Value range(Run& run, Arguments arguments) {
  const size_t count = arguments.positional.size();
  Parameters given("range", arguments, {"start", "stop", "step"});
  if (count == 0) throw_error("range() needs the number at which it ends");
  const int64_t start = count == 1 ? 0 : given.integer(0);
  const int64_t stop = given.integer(count == 1 ? 0 : 1);
  const int64_t step = given.integer(2, 1);
  if (step == 0) throw_error("the step of range() cannot be 0");
  std::vector<Value> items;
  for (int64_t i = start; step > 0 ? i < stop : i > stop;) {
    if (static_cast<int64_t>(items.size()) == kLongestRange)
      throw_error(fmt::format("range() makes at most {} numbers", kLongestRange));
    items.emplace_back(i);
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  return run.list(std::move(items));
}

// dict(other, key=value)
std::vector<std::pair<std::string, Value>> fields(Run& run, Arguments& arguments,
                                                  std::string_view function) {
  if (arguments.positional.size() > 1)
    throw_error(fmt::format("{}() takes at most one argument by position", function));
  std::vector<std::pair<std::string, Value>> out;
  for (const Value& from : arguments.positional) {
    const std::vector<Value> pairs = from.dict() ? run.pairs(from) : run.elements(from);
    for (const Value& pair : pairs) {
      const std::vector<Value> parts = run.elements(pair);
      if (parts.size() != 2)
        throw_error(fmt::format("{}() needs a dict or pairs of key and value", function));
      out.emplace_back(run.text(parts[0]), parts[1]);
    }
  }
  for (auto& [name, value] : arguments.named) {
    std::erase_if(out, [&](const auto& field) { return field.first == name; });
    out.emplace_back(name, std::move(value));
  }
  return out;
}

Value dict(Run& run, Arguments arguments) {
  std::vector<std::pair<Value, Value>> entries;
  for (auto& [name, value] : fields(run, arguments, "dict"))
    entries.emplace_back(name, std::move(value));
  return make_dict(std::move(entries), run.budget());
}

Value make_namespace(Run& run, Arguments arguments) {
  return run.make_namespace(fields(run, arguments, "namespace"));
}

class Cycler final : public Object {
 public:
  explicit Cycler(std::vector<Value> items) : items_(std::move(items)) {}
  std::optional<Value> attribute(std::string_view name) const override {
    if (name == "current") return items_[*at_];
    if (name != "next" && name != "reset") return std::nullopt;
    return object("cycler", [items = items_, at = at_, next = name == "next"](Run&, Arguments) {
      if (!next) {
        *at = 0;
        return Value(None());
      }
      const Value item = items[*at];
      *at = (*at + 1) % items.size();
      return item;
    });
  }
  std::string describe() const override { return "<cycler>"; }

 private:
  std::vector<Value> items_;
  std::shared_ptr<size_t> at_ = std::make_shared<size_t>(0);
};

Value cycler(Run& run, Arguments arguments) {
  if (arguments.positional.empty()) throw_error("cycler() needs something to cycle through");
  run.budget().bytes(arguments.positional.size() * sizeof(Value));
  return std::shared_ptr<Object>(std::make_shared<Cycler>(std::move(arguments.positional)));
}

Value joiner(Run&, Arguments arguments) {
  Parameters given("joiner", arguments, {"sep"});
  return object("joiner",
                [separator = given.text(0, ", "), used = std::make_shared<bool>(false)](
                    Run& run, Arguments) -> Value {
                  if (!std::exchange(*used, true)) return "";
                  run.budget().bytes(separator.size());
                  return separator;
                });
}

Value raise_exception(Run& run, Arguments arguments) {
  Parameters given("raise_exception", arguments, {"message"});
  throw_error(fmt::format("the template refuses this: {}", run.text(given.required(0))));
}

Value strftime_now(Run& run, Arguments arguments) {
  Parameters given("strftime_now", arguments, {"format"});
  const std::string format = given.text(0) + ' ';  // never empty, so that 0 means too long
  std::tm now{};
  if (run.now()) {
    now = *run.now();
  } else {
    const std::time_t seconds = std::time(nullptr);
    localtime_r(&seconds, &now);
  }
  std::array<char, 4096> buffer;
  const size_t size = std::strftime(buffer.data(), buffer.size(), format.c_str(), &now);
  if (size == 0) throw_error("strftime_now: the format gives more than 4 KiB");
  run.budget().bytes(size);
  return std::string(buffer.data(), size - 1);
}

using Call = Value (*)(Run& run, Arguments arguments);
constexpr std::pair<std::string_view, Call> kFunctions[] = {
    {"range", range},
    {"dict", dict},
    {"namespace", make_namespace},
    {"cycler", cycler},
    {"joiner", joiner},
    {"raise_exception", raise_exception},
    {"strftime_now", strftime_now},
};

}  // namespace

std::optional<Value> find_function(std::string_view name) {
  for (const auto& [known, call] : kFunctions) {
    if (known == name) return object(std::string(name), call);
  }
  return std::nullopt;
}

Parameters::Parameters(std::string_view function, Arguments& arguments,
                       std::initializer_list<std::string_view> names)
    : function_(function), names_(names), values_(names.size()) {
  if (arguments.positional.size() > names_.size()) {
    throw_error(fmt::format("{} takes at most {} arguments, not {}", function, names_.size(),
                            arguments.positional.size()));
  }
  for (size_t i = 0; i < arguments.positional.size(); ++i)
    values_[i] = std::move(arguments.positional[i]);
  for (auto& [name, value] : arguments.named) {
    const auto found = std::find(names_.begin(), names_.end(), name);
    if (found == names_.end()) throw_error(fmt::format("{} has no argument '{}'", function, name));
    auto& place = values_[static_cast<size_t>(found - names_.begin())];
    if (place) throw_error(fmt::format("{} is given its argument '{}' twice", function, name));
    place = std::move(value);
  }
}

const Value& Parameters::required(size_t i) const {
  if (!values_[i]) throw_error(fmt::format("{} needs its argument '{}'", function_, names_[i]));
  return *values_[i];
}

void Parameters::wrong_type(size_t i, std::string_view expected) const {
  const Value& value = *values_[i];
  if (value.is_undefined()) throw_error(value.missing());
  throw_error(
      fmt::format("{}: '{}' is {}, not {}", function_, names_[i], expected, type_name(value)));
}

int64_t Parameters::integer(size_t i) const {
  const auto integer = required(i).integer();
  if (!integer) wrong_type(i, "a whole number");
  return *integer;
}

const std::string& Parameters::text(size_t i) const {
  const std::string* text = required(i).text();
  if (!text) wrong_type(i, "a text");
  return *text;
}

}  // namespace cairn::text::jinja
