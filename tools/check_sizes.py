#!/usr/bin/env python3
"""Small files: no source over 1,000 lines (a warning from 600), no file over 400 KB, goldens 5 MB.

A file that has grown is split where its parts have names; larger test data is derived from seeds.
"""
import source_tree

MAX_LINES = 1000
WARN_LINES = 600
MAX_BYTES = 400_000
MAX_GOLDEN_BYTES = 5_000_000
SOURCES = (".cpp", ".h", ".def", ".py", ".sh", ".cmake")


def main():
    root = source_tree.parse_arguments(__doc__).root
    problems, golden_bytes = [], 0
    for name in source_tree.files(root):
        size = (root / name).stat().st_size
        if name.startswith("tests/golden/"):
            golden_bytes += size
        if size > MAX_BYTES:
            problems.append(f"{name}: {size:,} bytes; at most {MAX_BYTES:,} go into the repository")
        if name.endswith(SOURCES):
            lines = source_tree.read(root, name).count("\n")
            if lines > MAX_LINES:
                problems.append(f"{name}: {lines} lines; split it, {MAX_LINES} is the most")
            elif lines > WARN_LINES:
                print(f"warning: {name}: {lines} lines; think of splitting it")
    if golden_bytes > MAX_GOLDEN_BYTES:
        problems.append(f"tests/golden: {golden_bytes:,} bytes; at most {MAX_GOLDEN_BYTES:,} in all")
    source_tree.finish(problems)


if __name__ == "__main__":
    main()
