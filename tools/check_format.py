#!/usr/bin/env python3
"""clang-format-19 changes nothing in any C++ file. To fix what this names: clang-format-19 -i FILE."""
import shutil
import subprocess
import sys

import source_tree


def main():
    root = source_tree.parse_arguments(__doc__).root
    if not shutil.which("clang-format-19"):
        print("clang-format-19 is not installed")
        sys.exit(source_tree.SKIPPED)
    names = source_tree.files(root, "*.cpp", "*.h")
    problems = []
    if names:
        result = subprocess.run(["clang-format-19", "--dry-run", "-Werror", "--ferror-limit=1", *names],
                                cwd=root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        bad = {line.split(":")[0] for line in result.stdout.splitlines() if ": error: " in line}
        problems = [f"{name}: not formatted; run clang-format-19 -i on it" for name in sorted(bad)]
        if result.returncode != 0 and not bad:
            problems = [f"clang-format-19 failed: {result.stdout}"]
    source_tree.finish(problems)


if __name__ == "__main__":
    main()
