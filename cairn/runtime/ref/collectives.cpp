// Collectives: the operand laid out as the communicator wants it, and back.
#include <fmt/format.h>

#include <cstring>
#include <vector>

#include "cairn/runtime/ref/kernels.h"

namespace cairn::ref {
namespace {

Communicator& communicator(const KernelArgs& args) {
  const std::string& axis = args.node.attrs().text(Attr::mesh_axis);
  const auto found = args.mesh.find(axis);
  if (found == args.mesh.end())
    throw_error(fmt::format("[{}] this runtime has no mesh axis '{}'", name(args.node.op()), axis));
  if (found->second->size() != args.node.attrs().integer(Attr::size))
    throw_error(fmt::format("[{}] the graph was built for {} ranks along '{}', there are {}",
                            name(args.node.op()), args.node.attrs().integer(Attr::size), axis,
                            found->second->size()));
  return *found->second;
}

// Strides of a view of `shape` in which `axis` is cut into [ranks, size / ranks] and the ranks come
// first; with the shape of that view.
struct BlockView {
  Shape shape;
  Ints strides;
  BlockView(const Shape& whole, int axis, int64_t ranks) {
    const Ints s = whole.strides();
    shape.push_back(ranks);
    strides.push_back(s[axis] * (whole[axis] / ranks));
    for (int i = 0; i < whole.rank(); ++i) {
      shape.push_back(i == axis ? whole[i] / ranks : whole[i]);
      strides.push_back(s[i]);
    }
  }
};

// Blocks of `axis` one after the other (as the communicator moves them) from the tensor, or into
// it.
void to_blocks(const KernelArgs& args, const void* tensor, const TensorType& type, int axis,
               char* blocks) {
  const BlockView view(type.shape, axis, args.node.attrs().integer(Attr::size));
  strided_copy(view.shape, static_cast<const char*>(tensor), view.strides, blocks,
               view.shape.strides(), size_of(type.dtype), args.pool);
}
void from_blocks(const KernelArgs& args, const char* blocks, const TensorType& type, int axis,
                 void* tensor) {
  const BlockView view(type.shape, axis, args.node.attrs().integer(Attr::size));
  strided_copy(view.shape, blocks, view.shape.strides(), static_cast<char*>(tensor), view.strides,
               size_of(type.dtype), args.pool);
}

int axis_of(const KernelArgs& args, Attr key = Attr::axis) {
  return static_cast<int>(args.node.attrs().integer(key));
}

}  // namespace

void axis_index(const KernelArgs& args) {
  *static_cast<int32_t*>(args.outputs[0]) = communicator(args).rank();
}

void all_reduce(const KernelArgs& args) {
  const std::string& kind = args.node.attrs().text(Attr::kind);
  const TensorType& type = args.node.output();
  communicator(args).all_reduce(args.inputs[0], args.outputs[0], type.shape.elements(), type.dtype,
                                kind == "sum"   ? ReduceKind::sum
                                : kind == "max" ? ReduceKind::max
                                                : ReduceKind::min);
}

void all_gather(const KernelArgs& args) {
  const TensorType& type = args.node.output();
  std::vector<char> blocks(type.bytes());
  communicator(args).all_gather(args.inputs[0], blocks.data(), args.node.input(0).type().bytes());
  from_blocks(args, blocks.data(), type, axis_of(args), args.outputs[0]);
}

void reduce_scatter(const KernelArgs& args) {
  const TensorType& type = args.node.input(0).type();
  std::vector<char> blocks(type.bytes());
  to_blocks(args, args.inputs[0], type, axis_of(args), blocks.data());
  communicator(args).reduce_scatter(blocks.data(), args.outputs[0],
                                    args.node.output().shape.elements(), type.dtype);
}

void all_to_all(const KernelArgs& args) {
  const TensorType& in = args.node.input(0).type();
  const TensorType& out = args.node.output();
  std::vector<char> sent(in.bytes());
  std::vector<char> received(in.bytes());
  to_blocks(args, args.inputs[0], in, axis_of(args, Attr::split_axis), sent.data());
  communicator(args).all_to_all(
      sent.data(), received.data(),
      in.bytes() / static_cast<size_t>(args.node.attrs().integer(Attr::size)));
  from_blocks(args, received.data(), out, axis_of(args, Attr::concat_axis), args.outputs[0]);
}

void permute(const KernelArgs& args) {
  communicator(args).permute(args.inputs[0], args.outputs[0], args.node.output().bytes(),
                             args.node.attrs().literal(Attr::literal).span<int32_t>());
}

}  // namespace cairn::ref
