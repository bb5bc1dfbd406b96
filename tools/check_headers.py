#!/usr/bin/env python3
"""Each header compiles alone: a file that includes nothing else passes the compiler.

What passed is remembered in build/.checks by the text of the header and of all that it includes
from the tree, so a repeat compiles only what changed.
"""
import concurrent.futures
import os
import shlex
import subprocess

import source_tree

FLAGS = ["-std=c++20", "-fsyntax-only", "-Wall", "-Wextra", "-DCAIRN_SOURCE_DIR=\"\"", "-x", "c++"]


def main():
    root = source_tree.parse_arguments(__doc__).root
    compiler = shlex.split(os.environ.get("CXX", "c++"))
    version = subprocess.run([*compiler, "--version"], stdout=subprocess.PIPE, text=True).stdout
    tree = source_tree.Closure(root)
    cache = source_tree.Cache(root, "headers")

    def compile_alone(name):
        key = tree.key(name, version, *FLAGS)
        if cache.has(name, key):
            return None
        result = subprocess.run([*compiler, *FLAGS, "-I", ".", "-"], cwd=root, text=True,
                                input=f'#include "{name}"\n', stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT)
        if result.returncode == 0:
            cache.add(name, key)
            return None
        return f"{name}: does not compile alone:\n{result.stdout.strip()}"

    headers = source_tree.files(root, "*.h")
    # tests/consumer is a project of its own, with its own include path. Headers that include LLVM are
    # no part of what is installed, and stand first in their .cpp.
    apart = ("tests/consumer/", "cairn/compiler/llvm/")
    headers = [name for name in headers if not name.startswith(apart)]
    with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        problems = [problem for problem in pool.map(compile_alone, headers) if problem]
    cache.save()
    source_tree.finish(problems)


if __name__ == "__main__":
    main()
