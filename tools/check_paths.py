#!/usr/bin/env python3
"""The map is true: every path that ARCHITECTURE.md and README.md name in backticks exists.

A path is a word in backticks with a slash in it, or a line of a ```-block that is such a word first.
Not looked at: what is made (build/...), options, URLs, commands, and `cairn/<folder>/`. A `*`, or the
word NAME, must match something: `examples/NAME.cpp`. `path/a.{h,cpp}` names both.
"""
import glob
import re

import source_tree

DOCUMENTS = ("ARCHITECTURE.md", "README.md")
WORD = re.compile(r"(?:\./)?[A-Za-z0-9_.][A-Za-z0-9_.*{},-]*(?:/[A-Za-z0-9_.*{},-]*)+")


def paths_of(text):
    """(line number, path) of each path named."""
    in_block = False
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("```"):
            in_block = not in_block
            continue
        words = [line.split()[0]] if in_block and line.split() else []
        if not in_block:
            words = re.findall(r"`([^`]+)`", line)
        for word in words:
            if WORD.fullmatch(word):
                yield number, word


def alternatives(path):
    match = re.search(r"\{([^{}]*)\}", path)
    if not match:
        return [path]
    return [alternative for choice in match[1].split(",")
            for alternative in alternatives(path[:match.start()] + choice + path[match.end():])]


def main():
    root = source_tree.parse_arguments(__doc__).root
    problems = []
    for document in DOCUMENTS:
        if not (root / document).exists():
            continue
        for number, word in paths_of(source_tree.read(root, document)):
            path = word.removeprefix("./").replace("NAME", "*")
            if path.startswith("build/"):
                continue
            for one in alternatives(path):
                if not glob.glob(str(root / one)):
                    problems.append(f"{document}:{number}: `{word}`: {one} does not exist")
    source_tree.finish(problems)


if __name__ == "__main__":
    main()
