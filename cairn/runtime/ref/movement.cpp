// Primitives that move elements.
#include <algorithm>
#include <cstring>
#include <vector>

#include "cairn/runtime/ref/kernels.h"

namespace cairn::ref {
namespace {

// Axes of size 1 dropped and neighbours that run on from each other merged: fewer, longer loops.
struct Loops {
  int rank = 0;
  int64_t size[kMaxRank];
  int64_t from[kMaxRank];
  int64_t to[kMaxRank];

  Loops(const Shape& shape, const Ints& from_strides, const Ints& to_strides) {
    for (int i = 0; i < shape.rank(); ++i) {
      if (shape[i] == 1) continue;
      if (rank > 0 && from[rank - 1] == from_strides[i] * shape[i] &&
          to[rank - 1] == to_strides[i] * shape[i]) {
        size[rank - 1] *= shape[i];
        from[rank - 1] = from_strides[i];
        to[rank - 1] = to_strides[i];
        continue;
      }
      size[rank] = shape[i];
      from[rank] = from_strides[i];
      to[rank] = to_strides[i];
      ++rank;
    }
  }
};

template <class T>
void copy_line(const T* from, int64_t from_stride, T* to, int64_t to_stride, int64_t n) {
  if (to_stride == 1 && from_stride == 1) {
    std::memcpy(to, from, static_cast<size_t>(n) * sizeof(T));
  } else if (to_stride == 1 && from_stride == 0) {
    std::fill(to, to + n, *from);
  } else {
    for (int64_t i = 0; i < n; ++i) to[i * to_stride] = from[i * from_stride];
  }
}

template <class T>
void copy_loops(const Loops& loops, const T* from, T* to, ThreadPool& pool) {
  if (loops.rank == 0) {
    *to = *from;
    return;
  }
  const int inner = loops.rank - 1;
  int64_t lines = 1;
  for (int i = 0; i < inner; ++i) lines *= loops.size[i];
  const int64_t n = loops.size[inner];
  if (lines == 1) {
    pool.parallel_for(n, 4 * kGrain, [&](int64_t begin, int64_t end) {
      copy_line(from + begin * loops.from[inner], loops.from[inner], to + begin * loops.to[inner],
                loops.to[inner], end - begin);
    });
    return;
  }
  const int64_t grain = std::max<int64_t>(1, kGrain / std::max<int64_t>(n, 1));
  pool.parallel_for(lines, grain, [&](int64_t begin, int64_t end) {
    int64_t index[kMaxRank] = {};
    int64_t rest = begin;
    int64_t f = 0;
    int64_t t = 0;
    for (int i = inner - 1; i >= 0; --i) {
      index[i] = rest % loops.size[i];
      rest /= loops.size[i];
      f += index[i] * loops.from[i];
      t += index[i] * loops.to[i];
    }
    for (int64_t line = begin; line < end; ++line) {
      copy_line(from + f, loops.from[inner], to + t, loops.to[inner], n);
      for (int i = inner - 1; i >= 0; --i) {
        f += loops.from[i];
        t += loops.to[i];
        if (++index[i] < loops.size[i]) break;
        f -= loops.from[i] * loops.size[i];
        t -= loops.to[i] * loops.size[i];
        index[i] = 0;
      }
    }
  });
}

// The operand seen through `strides` from `offset` (elements), written contiguously.
void copy_view(const KernelArgs& args, const Ints& strides, int64_t offset) {
  const TensorType& out = args.node.output();
  const size_t size = size_of(out.dtype);
  strided_copy(out.shape,
               static_cast<const char*>(args.inputs[0]) + offset * static_cast<int64_t>(size),
               strides, static_cast<char*>(args.outputs[0]), out.shape.strides(), size, args.pool);
}

// Start of each axis, clamped so that `window` fits, as an offset into `shape`.
int64_t clamped_offset(const KernelArgs& args, int first, const Shape& shape, const Shape& window) {
  const Ints strides = shape.strides();
  int64_t offset = 0;
  for (int i = 0; i < shape.rank(); ++i) {
    const int64_t start = read_integer(args.inputs[static_cast<size_t>(first + i)],
                                       args.node.input(first + i).dtype());
    offset += std::clamp<int64_t>(start, 0, shape[i] - window[i]) * strides[i];
  }
  return offset;
}

}  // namespace

int64_t read_integer(const void* data, DType dtype) {
  return visit_dtype(dtype, [&](auto tag) -> int64_t {
    using T = typename decltype(tag)::type;
    if constexpr (std::is_integral_v<T>) {
      return static_cast<int64_t>(*static_cast<const T*>(data));
    } else {
      return 0;
    }
  });
}

void strided_copy(const Shape& shape, const char* from, const Ints& from_strides, char* to,
                  const Ints& to_strides, size_t size, ThreadPool& pool) {
  if (shape.elements() == 0) return;
  const Loops loops(shape, from_strides, to_strides);
  const auto run = [&](auto zero) {
    using T = decltype(zero);
    copy_loops(loops, reinterpret_cast<const T*>(from), reinterpret_cast<T*>(to), pool);
  };
  switch (size) {
    case 1: run(uint8_t{}); break;
    case 2: run(uint16_t{}); break;
    case 4: run(uint32_t{}); break;
    default: run(uint64_t{}); break;
  }
}

void broadcast(const KernelArgs& args) {
  const Shape& in = args.node.input(0).shape();
  const Ints in_strides = in.strides();
  const Ints& axes = args.node.attrs().ints(Attr::axes);
  Ints strides(args.node.output().shape.rank(), 0);
  for (int i = 0; i < axes.size(); ++i)
    if (in[i] != 1) strides[static_cast<int>(axes[i])] = in_strides[i];
  copy_view(args, strides, 0);
}

void transpose(const KernelArgs& args) {
  const Ints in_strides = args.node.input(0).shape().strides();
  Ints strides;
  for (int64_t a : args.node.attrs().ints(Attr::axes))
    strides.push_back(in_strides[static_cast<int>(a)]);
  copy_view(args, strides, 0);
}

void slice(const KernelArgs& args) {
  Ints strides = args.node.input(0).shape().strides();
  int64_t offset = 0;
  for (int i = 0; i < strides.size(); ++i) {
    offset += args.node.attrs().ints(Attr::start)[i] * strides[i];
    strides[i] *= args.node.attrs().ints(Attr::step)[i];
  }
  copy_view(args, strides, offset);
}

void reverse(const KernelArgs& args) {
  const Shape& shape = args.node.input(0).shape();
  Ints strides = shape.strides();
  int64_t offset = 0;
  if (shape.elements() == 0) return;
  for (int64_t a : args.node.attrs().ints(Attr::axes)) {
    const int axis = static_cast<int>(a);
    offset += (shape[axis] - 1) * strides[axis];
    strides[axis] = -strides[axis];
  }
  copy_view(args, strides, offset);
}

void dynamic_slice(const KernelArgs& args) {
  const Shape& shape = args.node.input(0).shape();
  copy_view(args, shape.strides(), clamped_offset(args, 1, shape, args.node.output().shape));
}

void dynamic_update_slice(const KernelArgs& args) {
  const TensorType& type = args.node.output();
  const Shape& window = args.node.input(1).shape();
  if (args.outputs[0] != args.inputs[0]) copy(args);
  const auto size = size_of(type.dtype);
  const int64_t offset = clamped_offset(args, 2, type.shape, window);
  strided_copy(window, static_cast<const char*>(args.inputs[1]), window.strides(),
               static_cast<char*>(args.outputs[0]) + offset * static_cast<int64_t>(size),
               type.shape.strides(), size, args.pool);
}

void pad(const KernelArgs& args) {
  const Shape& in = args.node.input(0).shape();
  const TensorType& out = args.node.output();
  const size_t size = size_of(out.dtype);
  const Ints& low = args.node.attrs().ints(Attr::low);
  const Ints& interior = args.node.attrs().ints(Attr::interior);
  strided_copy(out.shape, static_cast<const char*>(args.inputs[1]), Ints(out.shape.rank(), 0),
               static_cast<char*>(args.outputs[0]), out.shape.strides(), size, args.pool);
  // The elements of x that land inside: along each axis those with 0 <= low + i * (interior + 1) <
  // size.
  const Ints in_strides = in.strides();
  const Ints out_strides = out.shape.strides();
  Shape kept;
  Ints to;
  int64_t from_offset = 0;
  int64_t to_offset = 0;
  for (int i = 0; i < in.rank(); ++i) {
    const int64_t step = interior[i] + 1;
    const int64_t first = low[i] < 0 ? (-low[i] + step - 1) / step : 0;
    const int64_t room = out.shape[i] - 1 - low[i];
    const int64_t last = room < 0 ? -1 : std::min(in[i] - 1, room / step);
    kept.push_back(std::max<int64_t>(0, last - first + 1));
    to.push_back(out_strides[i] * step);
    from_offset += first * in_strides[i];
    to_offset += (low[i] + first * step) * out_strides[i];
  }
  if (kept.elements() == 0) return;
  strided_copy(
      kept, static_cast<const char*>(args.inputs[0]) + from_offset * static_cast<int64_t>(size),
      in_strides, static_cast<char*>(args.outputs[0]) + to_offset * static_cast<int64_t>(size), to,
      size, args.pool);
}

void concatenate(const KernelArgs& args) {
  const TensorType& out = args.node.output();
  const int axis = static_cast<int>(args.node.attrs().integer(Attr::axis));
  const size_t size = size_of(out.dtype);
  const Ints strides = out.shape.strides();
  int64_t offset = 0;
  for (size_t i = 0; i < args.inputs.size(); ++i) {
    const Shape& part = args.node.input(static_cast<int>(i)).shape();
    strided_copy(part, static_cast<const char*>(args.inputs[i]), part.strides(),
                 static_cast<char*>(args.outputs[0]) + offset * static_cast<int64_t>(size), strides,
                 size, args.pool);
    offset += part[axis] * strides[axis];
  }
}

void copy(const KernelArgs& args) {
  const size_t bytes = args.node.output().bytes();
  if (bytes) std::memcpy(args.outputs[0], args.inputs[0], bytes);
}

}  // namespace cairn::ref
