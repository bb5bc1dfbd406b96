// Collectives: the operand laid out as the communicator wants it, and back. Where that is not how
// the tensor lies, the blocks stand in the plan's workspace.
#include <fmt/format.h>

#include "cairn/core/buffer.h"
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

int axis_of(const Node& node, Attr key = Attr::axis) {
  return static_cast<int>(node.attrs().integer(key));
}

// Bytes for the blocks of `axis`; 0 where they lie one after the other in the tensor itself.
size_t block_bytes(const TensorType& type, int axis) {
  for (int i = 0; i < axis; ++i)
    if (type.shape[i] != 1) return round_up_to_alignment(type.bytes());
  return 0;
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
  const int axis = axis_of(args.node);
  const bool staged = block_bytes(type, axis) > 0;
  void* blocks = staged ? args.workspace : args.outputs[0];
  communicator(args).all_gather(args.inputs[0], blocks, args.node.input(0).type().bytes());
  if (staged) from_blocks(args, args.workspace, type, axis, args.outputs[0]);
}

void reduce_scatter(const KernelArgs& args) {
  const TensorType& type = args.node.input(0).type();
  const int axis = axis_of(args.node);
  const bool staged = block_bytes(type, axis) > 0;
  if (staged) to_blocks(args, args.inputs[0], type, axis, args.workspace);
  communicator(args).reduce_scatter(staged ? args.workspace : args.inputs[0], args.outputs[0],
                                    args.node.output().shape.elements(), type.dtype);
}

void all_to_all(const KernelArgs& args) {
  const TensorType& in = args.node.input(0).type();
  const TensorType& out = args.node.output();
  const int split_axis = axis_of(args.node, Attr::split_axis);
  const int concat_axis = axis_of(args.node, Attr::concat_axis);
  const size_t sent_bytes = block_bytes(in, split_axis);
  const bool staged = block_bytes(out, concat_axis) > 0;
  if (sent_bytes) to_blocks(args, args.inputs[0], in, split_axis, args.workspace);
  void* received = staged ? args.workspace + sent_bytes : args.outputs[0];
  communicator(args).all_to_all(
      sent_bytes ? args.workspace : args.inputs[0], received,
      in.bytes() / static_cast<size_t>(args.node.attrs().integer(Attr::size)));
  if (staged) from_blocks(args, args.workspace + sent_bytes, out, concat_axis, args.outputs[0]);
}

void permute(const KernelArgs& args) {
  communicator(args).permute(args.inputs[0], args.outputs[0], args.node.output().bytes(),
                             args.node.attrs().literal(Attr::literal).span<int32_t>());
}

size_t collective_workspace_bytes(const Node& node) {
  switch (node.op()) {
    case Op::all_gather:
    case Op::all_gather_invariant: return block_bytes(node.output(), axis_of(node));
    case Op::reduce_scatter: return block_bytes(node.input(0).type(), axis_of(node));
    case Op::all_to_all:
      return block_bytes(node.input(0).type(), axis_of(node, Attr::split_axis)) +
             block_bytes(node.output(), axis_of(node, Attr::concat_axis));
    default: return 0;
  }
}

}  // namespace cairn::ref
