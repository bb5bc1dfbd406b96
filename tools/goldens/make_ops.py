"""Small cases of every public function: values and gradients from PyTorch, edge semantics from JAX."""

import common
import ops_elementwise
import ops_reductions

MODULES = [ops_elementwise, ops_reductions]


def main():
    out = common.out_folder(__doc__)
    for module in MODULES:
        module.make(out)


main()
