"""What the checks share: the files of the tree, includes, and one way to report.

A check prints a line per problem, `path:line: what is wrong; what to do`, and exits 1; silence and 0
is a pass. Lines that open with "note:" or "warning:" are shown by ./test and fail nothing.
"""
import argparse
import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

SKIPPED = 77  # exit status: a tool is missing here

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^">]+)[">]', re.MULTILINE)


def parse_arguments(description, add=lambda parser: None):
    parser = argparse.ArgumentParser(description=description.split("\n\n")[0])
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parent.parent,
                        help="the tree to look at (default: this clone)")
    add(parser)
    return parser.parse_args()


def files(root, *patterns):
    """Tracked files and new ones that git does not ignore, relative to `root`, sorted."""
    # A clone that another user owns is no danger to `git ls-files`.
    names = subprocess.run(
        ["git", "-c", "safe.directory=*", "-C", str(root), "ls-files", "-z", "--cached", "--others",
         "--exclude-standard", "--", *patterns], check=True, stdout=subprocess.PIPE).stdout
    found = [name for name in names.decode().split("\0") if name and (root / name).is_file()]
    return sorted(set(found))


def read(root, name):
    return (root / name).read_text(encoding="utf-8", errors="replace")


def includes(text):
    """(line number, "<" or '"', name) of each include."""
    for match in INCLUDE.finditer(text):
        yield text.count("\n", 0, match.start()) + 1, match[1], match[2]


def finish(problems):
    """Prints the problems and ends the program."""
    for problem in problems:
        print(problem)
    sys.exit(1 if problems else 0)


class Closure:
    """The files of the tree that a file includes, directly or not, as one hash."""

    def __init__(self, root):
        self.root = root
        self.direct = {}  # name → (hash of its text, names that it includes from the tree)

    def _read(self, name):
        if name not in self.direct:
            text = read(self.root, name)
            names = {n for _, _, n in includes(text) if (self.root / n).is_file()}
            self.direct[name] = (hashlib.sha256(text.encode()).hexdigest(), names)
        return self.direct[name]

    def key(self, name, *more):
        """Changes when the file, what it includes, or one of the strings `more` changes."""
        seen, waiting = {}, [name]
        while waiting:
            one = waiting.pop()
            if one not in seen:
                seen[one], names = self._read(one)
                waiting += names
        return hashlib.sha256(json.dumps([sorted(seen.items()), more]).encode()).hexdigest()


class Cache:
    """Which files passed a check, by key, from one run to the next."""

    def __init__(self, root, check):
        self.path = root / "build" / ".checks" / f"{check}.json"
        try:
            self.passed = json.loads(self.path.read_text())
        except (OSError, ValueError):
            self.passed = {}

    def has(self, name, key):
        return self.passed.get(name) == key

    def add(self, name, key):
        self.passed[name] = key

    def save(self):
        self.path.parent.mkdir(parents=True, exist_ok=True)
        new = self.path.with_suffix(".new")
        new.write_text(json.dumps(self.passed))
        new.replace(self.path)
