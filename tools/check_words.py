#!/usr/bin/env python3
"""No paths of somebody's machine in tracked files: what works only there is a bug."""
import re

import source_tree

# In pieces, so that this file does not find itself.
DIRECTORIES = ("work", "home", "root", "Users")
MACHINE_PATH = re.compile(r"(?<![\w.$}])/(" + "|".join(DIRECTORIES) + r")/")


def main():
    root = source_tree.parse_arguments(__doc__).root
    problems = []
    for name in source_tree.files(root):
        data = (root / name).read_bytes()
        if b"\0" in data[:8192]:
            continue  # binary
        for number, line in enumerate(data.decode("utf-8", errors="replace").splitlines(), 1):
            if match := MACHINE_PATH.search(line):
                problems.append(f"{name}:{number}: '{match[0]}' is a path of one machine; "
                                "use a relative path, $HOME or a temporary directory")
    source_tree.finish(problems)


if __name__ == "__main__":
    main()
