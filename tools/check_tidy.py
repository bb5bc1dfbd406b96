#!/usr/bin/env python3
"""clang-tidy-19 finds nothing that .clang-tidy asks for, in the files changed lately.

Looks at the .cpp files (and the headers that they include) changed since --since, by default in the
last twenty commits, newest first and at most --limit of them: clang-tidy needs seconds for a file,
and ./test has minutes. --all looks at every file (./test --long). What passed is remembered in
build/.checks, so that a repeat takes only what changed. Needs build/release/compile_commands.json.
"""
import concurrent.futures
import json
import os
import shutil
import subprocess
import sys

import source_tree

EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"  # git's name for it


def options(parser):
    parser.add_argument("--all", action="store_true", help="every file")
    parser.add_argument("--since", help="files changed after this commit, or not committed")
    parser.add_argument("--limit", type=int, default=25, help="at most so many files (25)")


def git_lines(root, *arguments):
    result = subprocess.run(["git", "-c", "safe.directory=*", "-C", str(root), *arguments],
                            stdout=subprocess.PIPE, text=True, check=True)
    return [line for line in result.stdout.splitlines() if line]


def changed(root, since):
    """The files that differ from `since`, in no order of importance but the newest first."""
    if not since:
        since = (git_lines(root, "rev-list", "--max-count=1", "--skip=20", "HEAD") or [EMPTY_TREE])[0]
    different = set(git_lines(root, "diff", "--name-only", since))
    different |= set(git_lines(root, "ls-files", "--others", "--exclude-standard"))
    by_age = git_lines(root, "diff", "--name-only", "HEAD")
    by_age += git_lines(root, "ls-files", "--others", "--exclude-standard")
    by_age += git_lines(root, "log", "--max-count=20", "--format=", "--name-only")
    order = {name: -position for position, name in enumerate(reversed(by_age))}
    return sorted(different, key=lambda name: (order.get(name, 0), name))


def compiled(root):
    """name → its command in the release build, of the files of this tree."""
    entries = json.loads((root / "build/release/compile_commands.json").read_text())
    prefix = f"{root}/"
    return {e["file"].removeprefix(prefix): e["command"] for e in entries
            if e["file"].startswith(prefix)}


def main():
    arguments = source_tree.parse_arguments(__doc__, options)
    root = arguments.root.resolve()
    if not shutil.which("clang-tidy-19"):
        print("clang-tidy-19 is not installed")
        sys.exit(source_tree.SKIPPED)
    if not (root / "build/release/compile_commands.json").exists():
        source_tree.finish(["build/release/compile_commands.json is missing; run ./run once"])
    commands = compiled(root)
    names = source_tree.files(root, "*.cpp") if arguments.all else changed(root, arguments.since)
    names = [name for name in names if name in commands]

    version = subprocess.run(["clang-tidy-19", "--version"], stdout=subprocess.PIPE, text=True).stdout
    tree = source_tree.Closure(root)
    cache = source_tree.Cache(root, "tidy")
    configuration = source_tree.read(root, ".clang-tidy")
    keys = {name: tree.key(name, version, configuration, commands[name].replace(str(root), ""))
            for name in names}
    waiting = [name for name in names if not cache.has(name, keys[name])]
    if not arguments.all and len(waiting) > arguments.limit:
        print(f"note: the {arguments.limit} newest of {len(waiting)} changed files; "
              "tools/check_tidy.py --all looks at every one")
        waiting = waiting[:arguments.limit]

    def tidy(name):
        # Flags that only GCC knows are in the commands.
        result = subprocess.run(["clang-tidy-19", "-p", "build/release", "--quiet",
                                 "--extra-arg=-Wno-unknown-warning-option", name], cwd=root,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if result.returncode == 0:
            cache.add(name, keys[name])
            return None
        return (result.stdout.strip() or result.stderr.strip()).replace(f"{root}/", "")

    with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        problems = [problem for problem in pool.map(tidy, waiting) if problem]
    cache.save()
    source_tree.finish(problems)


if __name__ == "__main__":
    main()
