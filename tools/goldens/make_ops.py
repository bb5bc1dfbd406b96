"""Small cases of every public function: values and gradients from PyTorch, edge semantics from JAX."""

import common
import ops_elementwise
import ops_integers
import ops_movement
import ops_nn
import ops_printing
import ops_products
import ops_reductions

MODULES = [ops_elementwise, ops_reductions, ops_products, ops_nn,
           ops_movement, ops_integers, ops_printing]


def main():
    out = common.out_folder(__doc__)
    for module in MODULES:
        module.make(out)


main()
