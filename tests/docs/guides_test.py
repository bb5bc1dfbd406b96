#!/usr/bin/env python3
"""Compiles and runs the C++ of README and of the guides: guides_test.py BUILD_DIRECTORY COMPILER.

The ```cpp blocks of a document are one program: those that open with #include, struct or a comment
"// at namespace scope" stand outside main, the others one after the other within it. What it prints
must be the document's ```text blocks that directly follow a ```cpp block, in their order.
"""
import difflib
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```\n", re.M | re.S)
OUTSIDE = ("#include", "struct", "// at namespace scope")


def program(document):
    """The document's program and the output it promises; "" when it has no C++."""
    outside, inside, output = [], [], []
    text = document.read_text()
    end_of_cpp = None
    for block in BLOCK.finditer(text):
        language, body = block[1], block[2]
        if language == "text" and end_of_cpp == block.start():
            output.append(body)
        end_of_cpp = block.end() if language == "cpp" else None
        if language == "cpp":
            line = text.count("\n", 0, block.start(2)) + 1
            place = outside if body.startswith(OUTSIDE) else inside
            place.append(f'#line {line} "{document}"\n{body}')
    if not outside and not inside:
        return "", ""
    body = "\n".join(outside + ["int main() {", *inside, "}"])
    return "#include <iostream>\n" + body, "".join(output)


def main(build, compiler):
    failed = 0
    for document in [ROOT / "README.md", *sorted((ROOT / "docs/guides").glob("*.md"))]:
        source, promised = program(document)
        if not source:
            continue
        name = document.relative_to(ROOT)
        with tempfile.TemporaryDirectory() as folder:
            file, binary = Path(folder) / "guide.cpp", Path(folder) / "guide"
            file.write_text(source)
            made = subprocess.run([compiler, "-std=c++20", "-I", str(ROOT), str(file), "-o", str(binary),
                                   "-L", f"{build}/lib", "-lcairn", f"-Wl,-rpath,{build}/lib"],
                                  capture_output=True, text=True)
            if made.returncode != 0:
                print(f"{name} does not compile:\n{made.stderr[:4000]}")
                failed += 1
                continue
            ran = subprocess.run([str(binary)], capture_output=True, text=True, cwd=folder, timeout=300)
        if ran.returncode != 0 or ran.stdout != promised:
            print(f"{name}: exit status {ran.returncode}\n{ran.stderr}")
            print("\n".join(difflib.unified_diff(promised.splitlines(), ran.stdout.splitlines(),
                                                 "promised", "printed", lineterm="")))
            failed += 1
            continue
        print(f"{name}: {len(promised.splitlines())} lines as promised")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
