#!/usr/bin/env python3
"""Configures a preset when it has to and builds targets with ninja: build.py PRESET [TARGET...].

One line of progress instead of ninja's hundreds; the full log is build/PRESET/build.log, and what
failed is shown from it. Everything goes to stderr, so that `./run ARGS...` prints only what the
program prints. Two calls at once wait for one another.
"""
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MAX_SHOWN_LINES = 80


def say(text, end="\n"):
    print(text, end=end, file=sys.stderr, flush=True)


def configure(preset, directory, log, tests):
    """Runs cmake when the directory is new, the presets changed, the clone was moved, or `tests` are
    wanted for the first time: they need packages that the program does not."""
    stamp, cache = directory / ".configured", directory / "CMakeCache.txt"
    before = stamp.read_text() if stamp.exists() else ""
    tests = tests or before.endswith("tests")
    wanted = hashlib.sha256((ROOT / "CMakePresets.json").read_bytes()).hexdigest()
    wanted += " with tests" if tests else ""
    if cache.exists() and f"CMAKE_HOME_DIRECTORY:INTERNAL={ROOT}\n" not in cache.read_text():
        cache.unlink()
        shutil.rmtree(directory / "CMakeFiles", ignore_errors=True)
    if cache.exists() and before == wanted:
        return True
    say(f"build: cmake --preset {preset}")
    with log.open("w") as out:
        command = ["cmake", "--preset", preset, f"-DCAIRN_TESTS={'ON' if tests else 'OFF'}"]
        status = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=out,
                                stderr=subprocess.STDOUT).returncode
    if status == 0:
        stamp.write_text(wanted)
    return status == 0


def ninja(directory, targets, log):
    """Builds, showing one line of progress. False when something failed."""
    terminal = sys.stderr.isatty()
    start = last = time.monotonic()
    jobs = len(os.sched_getaffinity(0))
    command = ["ninja", "-C", str(directory), "-j", str(jobs), *targets]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True, errors="replace",
                               env={**os.environ, "NINJA_STATUS": "[%f/%t] "})
    steps = ""
    with log.open("w") as out:
        for line in process.stdout:
            out.write(line)
            out.flush()
            match = re.match(r"\[(\d+/\d+)\] ", line)
            if not match or "Re-checking globbed directories" in line:
                continue
            steps = match[1]
            now = time.monotonic()
            if terminal:
                say(f"\rbuild: {steps} ", end="")
            elif now - last > 15:
                say(f"build: {steps} after {now - start:.0f} s")
                last = now
    ok = process.wait() == 0
    if steps:
        say(("\r" if terminal else "") + f"build: {steps} steps in {time.monotonic() - start:.1f} s")
    return ok


def show_failure(log):
    lines = log.read_text(errors="replace").splitlines()
    first = next((i for i, line in enumerate(lines) if line.startswith("FAILED:")), None)
    shown = lines[first:] if first is not None else lines[-MAX_SHOWN_LINES:]
    say("\n".join(shown[:MAX_SHOWN_LINES]))
    if len(shown) > MAX_SHOWN_LINES:
        say(f"... {len(shown) - MAX_SHOWN_LINES} more lines")
    say(f"build: failed; the full log is {log}")


def build(preset, targets=()):
    """Builds `targets` (all when empty) in build/<preset>. False when something failed."""
    directory = ROOT / "build" / preset
    directory.mkdir(parents=True, exist_ok=True)
    log = directory / "build.log"
    with (directory / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        tests = not targets or any(target.startswith("tests") for target in targets)
        ok = configure(preset, directory, log, tests) and ninja(directory, targets, log)
    if not ok:
        show_failure(log)
    return ok


if __name__ == "__main__":
    if len(sys.argv) < 2:
        say(__doc__)
        sys.exit(2)
    sys.exit(0 if build(sys.argv[1], sys.argv[2:]) else 1)
