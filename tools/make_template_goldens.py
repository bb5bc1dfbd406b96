#!/usr/bin/env python3
"""Writes tests/golden/text/template_*.json: what Jinja2 makes of chat templates and expressions.

    pip install jinja2 xxhash
    tools/make_template_goldens.py --data ../shared/data

Jinja2 is set up as in transformers (utils/chat_template_utils.py): immutable sandbox, trim_blocks,
lstrip_blocks, loop controls, {% generation %}, `tojson` by json.dumps, raise_exception and
strftime_now. The time stands still. Two things are added for templates that ask for them: a filter
`from_json`, and lists that may be appended to (only where the immutable sandbox refuses).

  template_prompts.json      every template of data/chat-templates with every conversation written
                             here: xxh64 of the prompt and its bytes, null where Jinja2 refuses. The
                             templates' licences differ, so no prompt is written out.
  template_expressions.json  small templates written here, with their results in full.
It also writes the seeds of the fuzz target text_chat_template.
"""
import argparse
import copy
import datetime
import json
import pathlib

import jinja2
import jinja2.ext
import xxhash
from jinja2.sandbox import ImmutableSandboxedEnvironment, SandboxedEnvironment

GOLDEN = pathlib.Path(__file__).resolve().parent.parent / "tests" / "golden" / "text"
NOW = datetime.datetime(2026, 7, 26, 9, 5, 3)


class Generation(jinja2.ext.Extension):
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        call = self.call_method("_support")
        return jinja2.nodes.CallBlock(call, [], [], body).set_lineno(line)

    @jinja2.pass_eval_context
    def _support(self, context, caller):
        return caller()


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def environment(kind):
    env = kind(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])
    env.filters["tojson"] = tojson
    env.filters["from_json"] = json.loads
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = lambda form: NOW.strftime(form)
    return env


IMMUTABLE, MUTABLE = environment(ImmutableSandboxedEnvironment), environment(SandboxedEnvironment)


def render(source, variables):
    """The text, or None where the template or its input is refused."""
    try:
        return IMMUTABLE.from_string(source).render(**variables)
    except jinja2.exceptions.SecurityError:
        pass
    except Exception:
        return None
    variables = copy.deepcopy(variables)
    before = copy.deepcopy(variables)
    try:
        text = MUTABLE.from_string(source).render(**variables)
        return text if variables == before else None  # what was handed in stays as it is
    except Exception:
        return None


WEATHER = {"type": "function", "function": {
    "name": "get_weather", "description": "The weather at a place, now: 20 °C & \"sunny\" <or not>.",
    "parameters": {"type": "object", "properties": {
        "location": {"type": "string", "description": "City and country, like Zürich, CH"},
        "unit": {"type": "string", "enum": ["celsius", "fahrenheit"], "default": "celsius"},
        "days": {"type": "integer", "minimum": 1, "maximum": 10}},
        "required": ["location"]}}}
ORDER = {"type": "function", "function": {
    "name": "place_order", "description": "Orders goods.\nSeveral at once.",
    "parameters": {"type": "object", "properties": {
        "items": {"type": "array", "description": "what", "items": {
            "type": "object", "properties": {"sku": {"type": "string"}, "count": {"type": "number"}},
            "required": ["sku"]}},
        "express": {"type": "boolean"},
        "address": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "tags": {"type": ["array", "null"], "items": {"type": "string"}}},
        "required": ["items", "express"]},
    "return": {"type": "object", "description": "the order"}}}


def user(text):
    return {"role": "user", "content": text}


def assistant(text, **more):
    return {"role": "assistant", "content": text, **more}


def call(arguments, name="get_weather", identifier="call00001"):
    return {"id": identifier, "type": "function", "function": {"name": name, "arguments": arguments}}


def result(text, identifier="call00001", name="get_weather"):
    return {"role": "tool", "tool_call_id": identifier, "name": name, "content": text}


SYSTEM = {"role": "system", "content": "You are a careful assistant.\n\nAnswer in one line."}
SUNNY = json.dumps({"temperature": 21.5, "sky": "sunny"})
CONVERSATIONS = {
    "one question": [user("Hello, who are you?")],
    "system": [SYSTEM, user("What is 2 + 2?")],
    "several turns": [SYSTEM, user("Hi"), assistant("Hello! What can I do?"), user("Tell me a joke."),
                      assistant("No."), user("  Why not?\n\n")],
    "without system": [user("a"), assistant("b"), user("c"), assistant("d"), user("e")],
    "ends with the assistant": [user("Say yes"), assistant("Yes, ")],
    "characters": [{"role": "system", "content": "“quotes” <b>&amp;</b> \\n"},
                   user("Grüße 世界 😀 \u00a0\u2028 {{ no }} {% code %} <|im_end|> 'a' \"b\"\ttab"),
                   assistant("<think>\nhm\n</think>\n\nÄÖÜ ß"), user("é")],
    "parts": [user([{"type": "text", "text": "Part one."}, {"type": "text", "text": " Part two."}]),
              assistant([{"type": "text", "text": "An answer."}]), user("And?")],
    "a call": [SYSTEM, user("Weather in Bern?"), assistant("", tool_calls=[call({"location": "Bern", "days": 2})]),
               result(SUNNY), assistant("It is sunny."), user("Thanks!")],
    "a call, arguments as text": [user("Weather in Bern?"),
                                  assistant(None, tool_calls=[call(json.dumps({"location": "Bern, \"CH\"", "unit": None}))]),
                                  result(SUNNY)],
    "two calls": [user("Order a fork and say how the weather is."),
                  assistant("I do.", tool_calls=[
                      call({"items": [{"sku": "fork", "count": 1.5}], "express": True, "address": None}, "place_order"),
                      call({"location": "Zürich"}, identifier="call00002")]),
                  result("ordered", name="place_order"), result(SUNNY, "call00002"), assistant("Done."), user("Ok")],
    "thoughts": [user("How many r in strawberry?"),
                 assistant("Three.", reasoning_content="s-t-r-a-w-b-e-r-r-y: 3."), user("Sure?"),
                 assistant("<think>Yes.</think>Yes."), user("Good.")],
    "nothing": [],
    "unknown role": [{"role": "wizard", "content": "Abracadabra"}, user("?")],
    "two users": [user("one"), user("two")],
}
TOOLS = {"none": None, "one": [WEATHER], "two": [WEATHER, ORDER]}
# name, more variables
SETTINGS = [("plain", {}), ("thinking off", {"enable_thinking": False, "thinking": False}),
            ("thinking on", {"enable_thinking": True, "thinking": True, "functions": "[]", "datetime": "now"})]


def prompts(data):
    results = {}
    for path in sorted((data / "chat-templates").glob("*.jinja")):
        source = path.read_text(encoding="utf-8")
        rendered = []
        for name, messages in CONVERSATIONS.items():
            for kind, tools in TOOLS.items():
                for prompt in (False, True):
                    for setting, more in SETTINGS if prompt and not tools else SETTINGS[:1]:
                        variables = {"messages": messages, "tools": tools, "documents": None,
                                     "add_generation_prompt": prompt, "bos_token": "<s>", "eos_token": "</s>", **more}
                        text = render(source, variables)
                        data_ = None if text is None else text.encode()
                        rendered.append([name, kind, prompt, setting,
                                         None if text is None else [len(data_), xxhash.xxh64(data_).hexdigest()]])
        results[path.name] = rendered
        print(f"{path.name}: {len(rendered)}, {sum(r[4] is None for r in rendered)} refused")
    return {"conversations": CONVERSATIONS, "tools": TOOLS, "settings": dict(SETTINGS), "results": results}


VARIABLES = {
    "n": 7, "x": 2.5, "zero": 0, "text": "Hello, World", "words": ["pear", "Apple", "fig", "apple"], "empty": [],
    "user": {"name": "Ann", "age": 30, "tags": ["a", "b"], "items": "shadowed"}, "nothing": None, "yes": True,
    "rows": [{"k": "x", "v": 3}, {"k": "y", "v": 1}, {"k": "x", "v": 2}], "uni": "äÖß世😀", "lines": "one\n  two\n\nthree",
    "nested": {"a": {"b": [10, 20, {"c": "deep"}]}}, "html": "<a href='x'>&\"</a>", "num": "42", "real": "3.5e2",
}
EXPRESSIONS = (pathlib.Path(__file__).resolve().parent / "goldens" / "template_expressions.txt")


def expressions():
    """The templates of template_expressions.txt, one a line, "\\n" standing for a newline."""
    out = []
    for line in EXPRESSIONS.read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#!"):
            continue
        source = line.replace("\\n", "\n").replace("\\\n", "\\n")
        out.append([source, render(source, VARIABLES)])
    print(f"{len(out)} expressions, {sum(r is None for _, r in out)} refused")
    return {"variables": VARIABLES, "cases": out}


def fuzz_seeds(cases):
    folder = GOLDEN.parent.parent / "fuzz" / "corpus" / "text_chat_template"
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(0, len(cases), 12):
        (folder / f"expressions_{i // 12:02}").write_text("\n".join(source for source, _ in cases[i:i + 12]))
    (folder / "chat").write_text(
        "{% for message in messages %}{{ '<|' + message['role'] + '|>' }}{{ message.content | trim }}"
        "{% if loop.last and add_generation_prompt %}<|assistant|>{% endif %}{% endfor %}")


def write(name, value):
    path = GOLDEN / name
    path.write_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")
    print(f"{path.name}: {path.stat().st_size} bytes")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=pathlib.Path, required=True, help="the folder of shared test data")
    data = parser.parse_args().data
    made = expressions()
    write("template_expressions.json", made)
    fuzz_seeds(made["cases"])
    write("template_prompts.json", prompts(data))


if __name__ == "__main__":
    main()
