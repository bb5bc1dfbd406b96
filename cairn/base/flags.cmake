# The loops that measure peaks. Contraction is on here and nowhere else: the peak of a processor is that
# of its multiply-add.
cairn_compile_for_levels(cairn/base/probe cairn/base/probe_kernels "-O3;-ffp-contract=fast")
