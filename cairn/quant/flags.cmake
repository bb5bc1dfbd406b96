# The search for scales, for three levels of x86-64.
cairn_compile_for_levels(cairn/quant/encode cairn/quant/encode_kernels "-O3")
