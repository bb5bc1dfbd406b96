#!/usr/bin/env python3
"""Each check finds the mistake that it is there for, and nothing in a tree that is right.

A check that silently passes is worse than none, so each one runs here on a tiny tree in a temporary
directory: once right, and once for each mistake. The runner that counts the tests is held to the
same: it is given programs that pass, fail, skip, die and hang.
"""
import contextlib
import io
import json
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent.parent
TOOLS = REPOSITORY / "tools"
sys.path.insert(0, str(TOOLS))
import run_tests  # noqa: E402  (from TOOLS)

GOOD_TREE = {
    "cmake/layers.txt": "# comment\nbase:\ncore: base\nruntime: base core\n",
    "cairn/cairn.h": '#pragma once\n#include "cairn/core/c.h"\n',
    "cairn/base/b.h": "#pragma once\n\n#include <string>\n\nint b(const std::string& text);\n",
    "cairn/core/c.h": '#pragma once\n\n#include "cairn/base/b.h"\n\nint c();\n',
    "cairn/core/c.cpp": '#include "cairn/core/c.h"\n\n#include <iostream>\n\nint c() { return b(""); }\n',
    "cairn/runtime/ref/r.h": '#pragma once\n\n#include "cairn/core/c.h"\n',
    "cairn/runtime/null/n.h": "#pragma once\n",
    "apps/cairn/main.cpp": '#include <CLI/CLI.hpp>\n\n#include "apps/cairn/m.h"\n#include "cairn/cairn.h"\n',
    "apps/cairn/m.h": "#pragma once\n",
    "examples/xor.cpp": '#include <cairn/cairn.h>\n\n#include <cstdio>\n',
    "README.md": "Run `./run`; see `cairn/core/`, `docs/*.md`, `build/x/y`, `examples/NAME.cpp`, `--a/b`.\n",
    "run": "#!/bin/bash\n",
    "docs/a.md": "Text of $HOME/data and https://example.org/home/x.\n",
    "ARCHITECTURE.md": "```\ncairn/base/   `not/looked/at`\n```\nAnd `cairn/core/c.{h,cpp}`.\n",
}


class CheckTest(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        self.root = Path(self.directory.name)
        self.addCleanup(self.directory.cleanup)
        self.git("init", "--quiet")
        for name, text in GOOD_TREE.items():
            self.write(name, text)

    def git(self, *arguments):
        subprocess.run(["git", "-C", str(self.root), "-c", "user.name=t", "-c", "user.email=t@t",
                        *arguments], check=True)

    def write(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())

    def check(self, script, *arguments):
        """Exit status and output of one check on the tree."""
        result = subprocess.run([str(TOOLS / script), "--root", str(self.root), *arguments],
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return result.returncode, result.stdout

    def passes(self, script, *arguments):
        status, output = self.check(script, *arguments)
        self.assertEqual((status, output), (0, ""))

    def finds(self, expected, script, *arguments):
        status, output = self.check(script, *arguments)
        self.assertEqual(status, 1, output)
        self.assertIn(expected, output)
        self.assertEqual(len(output.splitlines()), 1, output)


class LayersTest(CheckTest):
    def finds_after(self, name, text, expected):
        self.passes("check_layers.py")
        self.write(name, text)
        self.finds(expected, "check_layers.py")

    def test_upwards(self):
        self.finds_after("cairn/base/b.cpp", '#include "cairn/core/c.h"\n',
                         "cairn/base/b.cpp:1: base may not include core")

    def test_upwards_in_angle_brackets(self):
        self.finds_after("cairn/base/b.cpp", "#include <cairn/core/c.h>\n", "base may not include core")

    def test_siblings(self):
        self.finds_after("cairn/runtime/null/n.h", '#pragma once\n#include "cairn/runtime/ref/r.h"\n',
                         "must not know of each other")

    def test_umbrella_inside(self):
        self.finds_after("cairn/core/d.cpp", '#include "cairn/cairn.h"\n', "for users of the library")

    def test_folder_not_listed(self):
        self.finds_after("cairn/extra/e.h", "#pragma once\n", "cairn/extra: not in cmake/layers.txt")

    def test_header_that_is_not_there(self):
        self.finds_after("cairn/core/d.cpp", '#include "cairn/core/gone.h"\n', "does not exist")

    def test_relative_include(self):
        self.finds_after("cairn/core/d.cpp", '#include "c.h"\n', "write the full name")

    def test_circle_of_headers(self):
        self.write("cairn/base/z.h", "#pragma once\n")
        self.write("cairn/base/a.h", '#pragma once\n#include "cairn/base/z.h"\n')
        self.passes("check_layers.py")
        self.write("cairn/base/z.h", '#pragma once\n#include "cairn/base/a.h"\n')
        self.finds("headers include each other: cairn/base/a.h → cairn/base/z.h → cairn/base/a.h",
                   "check_layers.py")

    def test_other_packages_in_headers(self):
        for package in ("fmt/format.h", "nlohmann/json.hpp", "toml++/toml.h", "iostream", "png.h"):
            with self.subTest(package):
                self.write("cairn/base/b.h", f"#pragma once\n#include <{package}>\n")
                self.finds(f"<{package}> does not belong here", "check_layers.py")

    def test_example_with_another_package(self):
        self.finds_after("examples/x.cpp", "#include <fmt/format.h>\n", "does not belong here")

    def test_app_that_reaches_into_tests(self):
        self.finds_after("apps/cairn/m.cpp", '#include "tests/support/t.h"\n', "nothing outside cairn/")

    def test_list_that_is_not_closed(self):
        self.finds_after("cmake/layers.txt", "base:\ncore: base\nruntime: core\n",
                         "cmake/layers.txt:3: runtime may include core but not base")

    def test_list_with_a_cycle(self):
        self.write("cmake/layers.txt", "base: core\ncore: base\nruntime: base core\n")
        self.finds("base names core, which no line above declares", "check_layers.py")


class SizesTest(CheckTest):
    def test_right_and_warning(self):
        self.passes("check_sizes.py")
        self.write("cairn/base/long.cpp", "\n" * 601)
        status, output = self.check("check_sizes.py")
        self.assertEqual(status, 0)
        self.assertTrue(output.startswith("warning: cairn/base/long.cpp: 601 lines"), output)

    def test_lines(self):
        self.write("cairn/base/long.cpp", "\n" * 1001)
        self.finds("cairn/base/long.cpp: 1001 lines", "check_sizes.py")

    def test_bytes(self):
        self.write("docs/big.bin", b"\0" * 400_001)
        self.finds("docs/big.bin: 400,001 bytes", "check_sizes.py")

    def test_goldens(self):
        for i in range(13):
            self.write(f"tests/golden/{i}.bin", b"\0" * 390_000)
        self.finds("tests/golden: 5,070,000 bytes", "check_sizes.py")


class PathsTest(CheckTest):
    def test_missing(self):
        self.passes("check_paths.py")
        for document, text in (("README.md", "a `docs/gone.md` b\n"), ("README.md", "`./gone/x`\n"),
                               ("ARCHITECTURE.md", "```\ncairn/gone/   what it was\n```\n"),
                               ("ARCHITECTURE.md", "`cairn/core/c.{h,txt}`\n"),
                               ("README.md", "`docs/*.txt`\n"),
                               ("README.md", "`examples/cmd_NAME.cpp`\n")):
            with self.subTest(text):
                self.write(document, text)
                self.finds("does not exist", "check_paths.py")
                self.write(document, GOOD_TREE[document])


class WordsTest(CheckTest):
    def test_machine_paths(self):
        self.passes("check_words.py")
        self.write("docs/b.md", "first\nsee /" + "home/me/data\n")
        self.finds("docs/b.md:2:", "check_words.py")
        self.write("docs/b.md", "'/" + "work/x'")
        self.finds("is a path of one machine", "check_words.py")


class HeadersTest(CheckTest):
    def test_does_not_compile_alone(self):
        self.passes("check_headers.py")
        self.write("cairn/base/b.h", "#pragma once\nint b(const std::string& text);\n")
        status, output = self.check("check_headers.py")
        self.assertEqual(status, 1)
        # The three that include it fail with it: what is remembered covers included files.
        for name in ("cairn/base/b.h", "cairn/core/c.h", "cairn/cairn.h", "cairn/runtime/ref/r.h"):
            self.assertIn(f"{name}: does not compile alone", output)
        self.assertNotIn("apps/cairn/m.h", output)


class FormatTest(CheckTest):
    def test_badly_formatted(self):
        if not shutil.which("clang-format-19"):
            self.skipTest("clang-format-19 is not installed")
        self.write(".clang-format", (REPOSITORY / ".clang-format").read_text())
        self.passes("check_format.py")
        self.write("cairn/base/b.cpp", "int  b( ){return 1;}\n")
        self.finds("cairn/base/b.cpp: not formatted", "check_format.py")


class TidyTest(CheckTest):
    def setUp(self):
        super().setUp()
        if not shutil.which("clang-tidy-19"):
            self.skipTest("clang-tidy-19 is not installed")
        self.write(".clang-tidy", (REPOSITORY / ".clang-tidy").read_text())
        self.write(".gitignore", "/build/\n")
        self.write("cairn/core/c.cpp", '#include "cairn/core/c.h"\n\nint c() { return 1; }\n')
        self.write("build/release/compile_commands.json", json.dumps(
            [{"directory": str(self.root), "file": str(self.root / "cairn/core/c.cpp"),
              "command": f"c++ -std=c++20 -I{self.root} -c {self.root / 'cairn/core/c.cpp'}"}]))
        self.git("add", ".")
        self.git("commit", "--quiet", "-m", "a tree")

    def test_finding(self):
        self.passes("check_tidy.py")
        self.write("cairn/core/c.cpp", '#include "cairn/core/c.h"\n\n'
                   "struct s {};\nint* p() { return 0; }\nint d(int x) { return (sizeof(int*) / sizeof(x)) * sizeof(sizeof(x)); }\n")
        for arguments in ([], ["--all"], ["--since", "HEAD"]):
            status, output = self.check("check_tidy.py", *arguments)
            self.assertEqual(status, 1, output)
            for rule in ("readability-identifier-naming", "modernize-use-nullptr",
                         "bugprone-sizeof-expression"):
                self.assertIn(rule, output)

    def test_finding_in_a_header(self):
        self.write("cairn/core/c.h", "#pragma once\n\nint c();\n\nstruct lower_case {};\n")
        status, output = self.check("check_tidy.py", "--all")
        self.assertEqual(status, 1, output)
        self.assertIn("cairn/core/c.h:5", output)

    def test_limit_is_said(self):
        status, output = self.check("check_tidy.py", "--limit", "0")
        self.assertEqual(status, 0)
        self.assertIn("note: the 0 newest of 1 changed files", output)


GOOGLE_TEST_PROGRAM = """#!/bin/bash
echo 'Note: filter'
for name in Suite.Passes Suite.Second; do
  echo "[ RUN      ] $name"; echo "[       OK ] $name (0 ms)"
done
echo '[ RUN      ] Suite.Skips'
printf 'x_test.cpp:3: Skipped\\nneeds a thing\\n\\n'
echo '[  SKIPPED ] Suite.Skips (0 ms)'
echo '[ RUN      ] Suite/0.Fails'
echo 'x_test.cpp:9: Failure'
echo 'unfinished line[  FAILED  ] Suite/0.Fails, where TypeParam = float (0 ms)'
echo '[  FAILED  ] 1 test, listed below:'
echo '[  FAILED  ] Suite/0.Fails, where TypeParam = float'
exit 1
"""


class RunnerTest(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        self.addCleanup(self.directory.cleanup)
        self.totals = run_tests.Totals()
        # What the runner prints about these programs is not about this run.
        quiet = contextlib.redirect_stdout(io.StringIO())
        quiet.__enter__()
        self.addCleanup(quiet.__exit__, None, None, None)

    def program(self, text):
        path = Path(self.directory.name) / "program"
        path.write_text(text if text.startswith("#!") else f"#!/bin/bash\n{text}\n")
        path.chmod(0o755)
        return [str(path)]

    def google_test(self, text, pattern=None, timeout=60, shards=1):
        run_tests.run_google_test(self.totals, "p", self.program(text), timeout,
                                  self.directory.name, {}, pattern, shards)
        return self.totals.passed, self.totals.failures, dict(self.totals.skips)

    def single(self, text, timeout=60):
        run_tests.run_single(self.totals, "s", self.program(text), timeout, self.directory.name)
        return self.totals.passed, self.totals.failures, dict(self.totals.skips)

    def test_counts_cases(self):
        self.assertEqual(self.google_test(GOOGLE_TEST_PROGRAM),
                         (2, ["p: Suite/0.Fails"], {"needs a thing": 1}))
        self.assertEqual((self.totals.failed, self.totals.skipped), (1, 1))
        self.assertEqual(self.totals.close(), 1)

    def test_program_that_dies_in_a_case(self):
        text = "echo '[ RUN      ] A.b'; echo '[       OK ] A.b (0 ms)'; echo '[ RUN      ] A.c'; kill -SEGV $$"
        self.assertEqual(self.google_test(text), (1, ["p: A.c"], {}))

    def test_program_that_ends_well_in_the_middle_of_a_case(self):
        self.assertEqual(self.google_test("echo '[ RUN      ] A.b'; exit 0"), (0, ["p: A.b"], {}))

    def test_program_that_dies_between_cases(self):
        text = "echo '[ RUN      ] A.b'; echo '[       OK ] A.b (0 ms)'; exit 3"
        self.assertEqual(self.google_test(text), (1, ["p: (the program)"], {}))

    def test_shards_are_one_program(self):
        text = ("echo '[ RUN      ] A.'$GTEST_SHARD_INDEX; [ $GTEST_SHARD_INDEX != 1 ] || exit 3\n"
                "echo '[       OK ] A.'$GTEST_SHARD_INDEX' (0 ms)'; echo of $GTEST_TOTAL_SHARDS")
        self.assertEqual(self.google_test(text, shards=3), (2, ["p: A.1"], {}))

    def test_program_that_hangs(self):
        text = "echo '[ RUN      ] A.b'; sleep 60 & sleep 60"
        self.assertEqual(self.google_test(text, timeout=0.5), (0, ["p: A.b"], {}))

    def test_program_without_tests(self):
        self.assertEqual(self.google_test("exit 0"), (0, ["p: (no tests in it)"], {}))

    def test_program_in_which_nothing_matches(self):
        self.assertEqual(self.google_test("exit 0", pattern="*X*"), (0, [], {}))

    def test_single(self):
        self.assertEqual(self.single("exit 0"), (1, [], {}))
        self.assertEqual(self.single("echo why; exit 77"), (1, [], {"s: why": 1}))
        self.assertEqual(self.single("exit 1"), (1, ["s"], {"s: why": 1}))
        self.assertEqual(self.single("sleep 60", timeout=0.5), (1, ["s", "s"], {"s: why": 1}))

    def test_nothing_ran_is_a_failure(self):
        self.assertEqual(run_tests.Totals().close(), 1)
        self.totals.add(1, [], [])
        self.assertEqual(self.totals.close(), 0)


if __name__ == "__main__":
    unittest.main()
