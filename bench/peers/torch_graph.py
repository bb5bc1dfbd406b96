"""What an operation on one number costs PyTorch, in ns: recording it in a graph, and running it.

"fx_node": one node of torch.fx.symbolic_trace. "make_fx_node": one of make_fx, which runs what it records. "eager_op":
one call of torch.add. "autograd_op": the same with a gradient recorded. "fx_replay_op": one node of the recorded graph
module, called. "jit_replay_op": one node of torch.jit.trace's.
"""

import time

import peer
import torch
import torch.fx
from torch.fx.experimental.proxy_tensor import make_fx

COUNT = 1000


def chain(x, y):
    for _ in range(COUNT):
        x = torch.add(x, y)
    return x


def best(call, repeats=7):
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
    return min(times) / COUNT * 1e9


options = peer.parser(__doc__).parse_args()
peer.start(options)
x, y = torch.ones(1), torch.ones(1)
g = torch.ones(1, requires_grad=True)
fx = torch.fx.symbolic_trace(chain, concrete_args=None)
jit = torch.jit.trace(chain, (x, y))
figures = {
    "fx_node": best(lambda: torch.fx.symbolic_trace(chain)),
    "make_fx_node": best(lambda: make_fx(chain)(x, y), 3),
    "eager_op": best(lambda: chain(x, y)),
    "autograd_op": best(lambda: chain(x, g)),
    "fx_replay_op": best(lambda: fx(x, y)),
    "jit_replay_op": best(lambda: jit(x, y)),
}
peer.report("graph", options, figures["eager_op"] * 1e-9, nanoseconds=figures)
