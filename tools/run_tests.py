#!/usr/bin/env python3
"""What ./test and ./check do after installing: build, run the checks, the test programs and the
script tests, and close with one line: N passed, N failed, N skipped.

ctest knows what there is (ctest --show-only=json-v1); its labels say what a test is:
  (none)   a GoogleTest program; each of its cases counts
  script   any command; counts as one case; exit status 77 means skipped
  fuzz     a fuzz target: replays its corpus and mutates for a moment; counts as one case
  shards   a GoogleTest program of cases on one thread: a shard of them for each processor at once
  long     only with --long (together with any of the above)
Other programs run one at a time: the tests use threads themselves. Programs that can do more with --long
look at CAIRN_TEST_LONG=1.
"""
import argparse
import collections
import concurrent.futures
import fnmatch
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import build

ROOT = build.ROOT
TIMEOUT_SECONDS = 900            # a program; ctest's TIMEOUT property overrides it
LONG_TIMEOUT_SECONDS = 6 * 3600  # with --long
MAX_SHOWN_LINES = 60             # of one failed test
SKIPPED = 77

# Name, command, what --long and --quick add to it. All exit 0, 1, or 77 when a tool is missing.
CHECKS = [
    ("check_layers", ["tools/check_layers.py"], {}),
    ("check_sizes", ["tools/check_sizes.py"], {}),
    ("check_paths", ["tools/check_paths.py"], {}),
    ("check_words", ["tools/check_words.py"], {}),
    ("check_format", ["tools/check_format.py"], {}),
    ("check_headers", ["tools/check_headers.py"], {}),
    ("check_tidy", ["tools/check_tidy.py"], {"long": ["--all"], "quick": ["--since", "HEAD"]}),
]
SANITIZERS = {
    "address": ("asan", {"ASAN_OPTIONS": "detect_stack_use_after_return=1",
                         "UBSAN_OPTIONS": "print_stacktrace=1"}),
    "thread": ("tsan", {"TSAN_OPTIONS": "second_deadlock_stack=1"}),
}


class Totals:
    """The sum over everything that ran, and what there is to say about it at the end."""

    def __init__(self):
        self.passed = self.failed = self.skipped = 0
        self.failures = []
        self.skips = collections.Counter()  # by reason

    def add(self, passed, failures, skips):
        self.passed += passed
        self.failed += len(failures)
        self.skipped += len(skips)
        self.failures += failures
        self.skips.update(skips)

    def close(self):
        for reason, count in sorted(self.skips.items()):
            print(f"skipped {count}: {reason}")
        for name in self.failures:
            print(f"FAILED: {name}")
        if self.passed + self.failed == 0:
            print("no test ran")
        print(f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped", flush=True)
        return 0 if self.failed == 0 and self.passed > 0 else 1


def run(command, timeout, cwd, env=None):
    """Exit status (None: killed after `timeout` seconds), output, seconds."""
    start = time.monotonic()
    with tempfile.TemporaryFile() as out:
        try:
            process = subprocess.Popen(command, cwd=cwd, env={**os.environ, **(env or {})},
                                       stdin=subprocess.DEVNULL, stdout=out,
                                       stderr=subprocess.STDOUT, start_new_session=True)
        except OSError as error:
            return 127, f"could not be started: {error}", 0.0
        try:
            status = process.wait(timeout)
        except BaseException as error:
            os.killpg(process.pid, signal.SIGKILL)  # the program and what it started
            process.wait()
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            status = None
        out.seek(0)
        return status, out.read().decode(errors="replace"), time.monotonic() - start


def how_it_ended(status, timeout):
    if status is None:
        return f"killed after {timeout:.0f} s"
    if status < 0:
        return f"died of {signal.Signals(-status).name}"
    return f"exit status {status}"


def begin(name):
    print(f"{name:<26}", end=" ", flush=True)


def end(passed, failed, skipped, seconds):
    counts = [f"{passed} passed"] if passed else []
    counts += [f"{failed} FAILED"] if failed else []
    counts += [f"{skipped} skipped"] if skipped else []
    print(f"{', '.join(counts) or 'nothing to run':<34} {seconds:7.1f} s", flush=True)


def show(title, lines):
    """The start and the end of a failed test's output."""
    print(f"---- {title}")
    if len(lines) > MAX_SHOWN_LINES:
        half = MAX_SHOWN_LINES // 2
        lines = lines[:half] + [f"... {len(lines) - 2 * half} lines ..."] + lines[-half:]
    print("\n".join(lines))
    print("----", flush=True)


def run_single(totals, name, command, timeout, cwd, env=None):
    """A check, a script or a fuzz run: one case, judged by its exit status."""
    begin(name)
    status, output, seconds = run(command, timeout, cwd, env)
    lines = output.strip().splitlines()
    if status == 0:
        end(1, 0, 0, seconds)
        totals.add(1, [], [])
        for line in lines:
            if line.startswith(("note:", "warning:")):
                print(f"    {line}")
    elif status == SKIPPED:
        end(0, 0, 1, seconds)
        totals.add(0, [], [f"{name}: {lines[-1] if lines else 'no reason given'}"])
    else:
        end(0, 1, 0, seconds)
        show(f"{name}: {how_it_ended(status, timeout)}", lines)
        totals.add(0, [name], [])


def outputs_by_case(output):
    """What a GoogleTest program printed between "[ RUN      ] case" and the case's end."""
    cases, current = {}, None
    for line in output.splitlines():
        # A test's own unfinished line may stand before the marker.
        started = re.search(r"\[ RUN      \] (\S+)$", line)
        ended = re.search(r"\[ +(OK|FAILED|SKIPPED) +\] ([^\s,]+)", line)
        if started:
            current = started[1]
            cases[current] = [None, []]
        elif ended and current and ended[2] == current:
            cases[current][0] = ended[1]
            current = None
        elif current:
            cases[current][1].append(line)
    return cases


def run_shards(command, timeout, cwd, env, shards):
    """As run(): what all shards of a program printed, and an exit status that is not 0, if any."""
    with concurrent.futures.ThreadPoolExecutor(shards) as pool:
        runs = [pool.submit(run, command, timeout, cwd, {
            **(env or {}), "GTEST_TOTAL_SHARDS": str(shards), "GTEST_SHARD_INDEX": str(i)})
            for i in range(shards)]
    statuses, outputs, seconds = zip(*(r.result() for r in runs))
    return next((s for s in statuses if s != 0), 0), "\n".join(outputs), max(seconds)


def run_google_test(totals, name, command, timeout, cwd, env, pattern, shards=1):
    """Each case of the program counts. A program that dies counts as the failure of the case that
    it was in."""
    arguments = ["--gtest_color=no"]
    if pattern:
        arguments.append(f"--gtest_filter={pattern}")
    else:
        begin(name)
    status, output, seconds = run_shards(command + arguments, timeout, cwd, env, shards)
    cases = outputs_by_case(output)
    passed = sum(1 for result, _ in cases.values() if result == "OK")
    failures = [case for case, (result, _) in cases.items() if result == "FAILED"]
    skips = [case for case, (result, _) in cases.items() if result == "SKIPPED"]
    broken = [case for case, (result, _) in cases.items() if result is None]
    if status != 0 and not failures and not broken:
        broken = ["(the program)"]  # it died outside a case, or says that it failed and not where
    if not cases and not pattern and not broken:
        broken = ["(no tests in it)"]
    if pattern:
        if not cases and not broken:
            return  # nothing of this program was asked for
        begin(name)
    end(passed, len(failures) + len(broken), len(skips), seconds)
    for case in failures:
        show(f"{name}: {case}", cases[case][1])
    for case in broken:
        lines = cases[case][1] if case in cases else output.splitlines()[-MAX_SHOWN_LINES:]
        show(f"{name}: {case}: {how_it_ended(status, timeout)}", lines)
    reasons = []
    for case in skips:
        said = [line for line in cases[case][1] if line and not line.endswith(": Skipped")]
        reasons.append(said[0] if said else f"{name}: no reason given")
    totals.add(passed, [f"{name}: {case}" for case in failures + broken], reasons)


def ctest_entries(directory):
    """(name, command, labels, timeout or None, working directory) of everything ctest knows."""
    answer = subprocess.run(["ctest", "--test-dir", str(directory), "--show-only=json-v1"],
                            check=True, stdout=subprocess.PIPE, text=True).stdout
    for test in json.loads(answer)["tests"]:
        properties = {p["name"]: p["value"] for p in test.get("properties", [])}
        yield (test["name"], test["command"], set(properties.get("LABELS", [])),
               properties.get("TIMEOUT"), properties.get("WORKING_DIRECTORY", directory))


def run_programs(totals, preset, options, env=None, kinds=("program", "script", "fuzz"),
                 long=False, only=None):
    """What ctest lists for one build directory, of these kinds and names."""
    env = {**(env or {}), **({"CAIRN_TEST_LONG": "1"} if long else {})}
    for name, command, labels, timeout, cwd in ctest_entries(ROOT / "build" / preset):
        kind = next(iter(labels & {"script", "fuzz"}), "program")
        if kind not in kinds or ("long" in labels and not long):
            continue
        if (options.quick and name != "base") or (only and name not in only):
            continue
        timeout = timeout or (LONG_TIMEOUT_SECONDS if options.long else TIMEOUT_SECONDS)
        if kind == "program":
            shards = len(os.sched_getaffinity(0)) if "shards" in labels else 1
            run_google_test(totals, name, command, timeout, cwd, env, options.pattern, shards)
        elif matches(name, options.pattern):
            run_single(totals, name, command, timeout, cwd, env)


def matches(name, pattern):
    return not pattern or fnmatch.fnmatchcase(name, pattern)


def build_all(totals, preset, targets=()):
    if build.build(preset, targets):
        return True
    totals.add(0, [f"build of build/{preset}"], [])
    return False


def sanitized(totals, sanitizer, options):
    preset, env = SANITIZERS[sanitizer]
    print(f"== with -fsanitize={sanitizer} (build/{preset})", flush=True)
    if build_all(totals, preset):
        run_programs(totals, preset, options, env, kinds=("program", "fuzz"))


def long_only(totals, options):
    """What --long does after all the rest, each with the tests of an ordinary run."""
    for variable, value in (("CAIRN_THREADS", "1"), ("CAIRN_THREADS", "3"), ("CAIRN_DEVICE", "ref"),
                            ("CAIRN_TARGET", "avx2"), ("CAIRN_TARGET", "baseline"),
                            ("CAIRN_FUSE", "0"), ("CAIRN_TILES", "odd")):
        print(f"== with {variable}={value}", flush=True)
        run_programs(totals, "release", options, {variable: value}, kinds=("program",))
    print("== without LLVM (build/no-llvm)", flush=True)
    if build_all(totals, "no-llvm"):
        run_programs(totals, "no-llvm", options, kinds=("program",))
    for sanitizer in SANITIZERS:
        sanitized(totals, sanitizer, options)
    print("== with libFuzzer (build/fuzz)", flush=True)
    if not shutil.which("clang++-19"):
        totals.add(0, [], ["libFuzzer: clang++-19 is not installed"])
    elif build_all(totals, "fuzz", ["tests/fuzz/all"]):
        run_programs(totals, "fuzz", options, kinds=("fuzz",))


def main():
    parser = argparse.ArgumentParser(prog="./test")
    parser.add_argument("pattern", nargs="?", metavar="NAME-PATTERN",
                        help="part of a test's name, or a glob")
    parser.add_argument("--long", action="store_true", help="the hours-long tests too")
    parser.add_argument("--sanitize", choices=SANITIZERS)
    parser.add_argument("--quick", action="store_true", help=argparse.SUPPRESS)  # ./check
    options = parser.parse_args()
    if options.pattern:
        options.pattern = f"*{options.pattern}*"

    # Compiled kernels that the test programs share; nothing of it goes to the user's own cache.
    os.environ.setdefault("CAIRN_CACHE", str(ROOT / "build" / "cache"))
    totals = Totals()
    if options.sanitize:
        sanitized(totals, options.sanitize, options)
        return totals.close()

    built = build_all(totals, "release", ["test_base"] if options.quick else ())
    for name, command, extra in CHECKS:
        if matches(name, options.pattern):
            mode = "long" if options.long else "quick" if options.quick else None
            run_single(totals, name, command + extra.get(mode, []), LONG_TIMEOUT_SECONDS, ROOT)
    if built:
        run_programs(totals, "release", options, long=options.long)
    if built and not options.quick:
        # The oracle of the compiled kernels: what the tests of operations say of it.
        print("== with CAIRN_DEVICE=ref", flush=True)
        run_programs(totals, "release", options, {"CAIRN_DEVICE": "ref"}, kinds=("program",),
                     only={"ops", "transforms", "runtime"})
    if built and options.long:
        long_only(totals, options)
    return totals.close()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
