// The kernels of the reference backend, one per primitive (or family). Not part of the interface.
#pragma once

#include "cairn/runtime/kernel.h"

namespace cairn::ref {

// Elements that one piece of a parallel loop covers: about 10 us of simple work.
inline constexpr int64_t kGrain = 16384;

void unary(const KernelArgs& args);
void binary(const KernelArgs& args);
void select(const KernelArgs& args);
void cast(const KernelArgs& args);

void reduce(const KernelArgs& args);
void cumulative(const KernelArgs& args);
void arg_reduce(const KernelArgs& args);
void sort(const KernelArgs& args);
void top_k(const KernelArgs& args);

void matmul(const KernelArgs& args);
void grouped_matmul(const KernelArgs& args);
void convolution(const KernelArgs& args);
size_t convolution_workspace_bytes(const Node& node);
size_t matmul_workspace_bytes(const Node& node);

void broadcast(const KernelArgs& args);
void transpose(const KernelArgs& args);
void slice(const KernelArgs& args);
void reverse(const KernelArgs& args);
void dynamic_slice(const KernelArgs& args);
void dynamic_update_slice(const KernelArgs& args);
void pad(const KernelArgs& args);
void concatenate(const KernelArgs& args);
void gather(const KernelArgs& args);
void scatter(const KernelArgs& args);
void copy(const KernelArgs& args);

void full(const KernelArgs& args);
void iota(const KernelArgs& args);
void dense(const KernelArgs& args);
void random_bits(const KernelArgs& args);
void quantize(const KernelArgs& args);
void dequantize(const KernelArgs& args);

void axis_index(const KernelArgs& args);
void all_reduce(const KernelArgs& args);
void all_gather(const KernelArgs& args);
void reduce_scatter(const KernelArgs& args);
void all_to_all(const KernelArgs& args);
void permute(const KernelArgs& args);
// What collectives need to lay blocks out; 0 for all other operations.
size_t collective_workspace_bytes(const Node& node);

// A 0-d integer of any type.
int64_t read_integer(const void* data, DType dtype);

// Copies elements of `size` bytes: to[i] = from[strided i], where `from` has one stride per axis of
// `shape` in elements (0 repeats, negative runs backwards) and `to` is given by its own strides.
void strided_copy(const Shape& shape, const char* from, const Ints& from_strides, char* to,
                  const Ints& to_strides, size_t size, ThreadPool& pool);

}  // namespace cairn::ref
