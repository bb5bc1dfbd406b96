"""What torch_ops.py and jax_ops.py share: they answer `cairn bench ops` (apps/cairn/bench_python.cpp has the protocol).

A framework's script gives serve() its version and a function that turns (op, dtype, sizes) into a call to be timed;
it raises Cannot for what it does not have. What the sizes of an operation mean stands in apps/cairn/bench_cases.cpp.
"""

import argparse
import contextlib
import json
import os
import statistics
import sys
import time


class Cannot(Exception):
    pass


def threads():
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, required=True)
    return parser.parse_args().threads


@contextlib.contextmanager
def cores(count):
    """Within it the process has so many cores. JAX counts them once, and its threads may run anywhere afterwards."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(allowed)[:count])
    yield
    for thread in os.listdir("/proc/self/task"):
        os.sched_setaffinity(int(thread), allowed)


def say(**fields):
    print(json.dumps(fields), flush=True)


def timed_turn(call, seconds):
    """The median call of those that fit; the first is left out unless it takes longer than `seconds` by itself."""
    begin = time.perf_counter()
    call()
    now = time.perf_counter()
    if now - begin > seconds:
        return now - begin
    times, end = [], now + seconds
    while now < end or not times:
        begin = now
        call()
        now = time.perf_counter()
        times.append(now - begin)
    return statistics.median(times)


def rest():
    """Until the framework's threads sleep: those that spin would take the next contender's time."""
    for _ in range(200):
        before = time.process_time()
        time.sleep(0.002)
        if time.process_time() - before < 0.0005:
            return


def serve(version, make):
    say(version=version)
    known, call = None, None
    for line in sys.stdin:
        request = json.loads(line)
        work = (request["op"], request["dtype"], tuple(request["sizes"]))
        try:
            if work != known:
                known, call = None, None  # the operands of the last case go first
                call = make(*work)
                call()
                known = work
            seconds = timed_turn(call, request["seconds"])
            rest()
            say(seconds=seconds)
        except Cannot as reason:
            say(cannot=str(reason))
        except Exception as error:  # a bug or too little memory here must not end the benchmark
            known, call = None, None
            say(cannot=f"{type(error).__name__}: {str(error)[:200]}")
