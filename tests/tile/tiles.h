// What the tests of tile kernels share: arrays from numbers, and kernels of one program that read
// whole arrays, compute one tile and store it.
#pragma once

#include <functional>
#include <random>
#include <string>
#include <vector>

#include "cairn/core/host_array.h"
#include "cairn/tile/builder.h"
#include "cairn/tile/interpreter.h"

namespace cairn::tile::test {

template <class T>
HostArray array_of(const std::vector<T>& values, const Shape& shape) {
  return HostArray::from<T>(values, shape);
}
template <class T>
HostArray array_of(const std::vector<T>& values) {
  return array_of<T>(values, Shape{static_cast<int64_t>(values.size())});
}
// std::vector<bool> has no span.
inline HostArray bools(const std::vector<int>& values, const Shape& shape) {
  HostArray array(DType::b8, shape);
  for (size_t i = 0; i < values.size(); ++i) array.mutable_span<bool>()[i] = values[i] != 0;
  return array;
}

template <class T>
std::vector<T> values_of(const HostArray& array) {
  const auto elements = array.span<T>();
  return {elements.begin(), elements.end()};
}
// Of any dtype.
inline std::vector<double> numbers_of(const HostArray& array) {
  std::vector<double> numbers;
  for (int64_t i = 0; i < array.elements(); ++i) numbers.push_back(array.at(i));
  return numbers;
}

// Normal f32 numbers.
inline HostArray random_array(const Shape& shape, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  HostArray array(DType::f32, shape);
  for (float& x : array.mutable_span<float>()) x = normal(random);
  return array;
}

// 0, 1, ... in row-major order: the offsets of a whole array.
inline Tile offsets_of(Builder& k, const Shape& shape) {
  return reshape(k.arange(shape.elements()), shape);
}

// A kernel that loads all of the inputs, and stores what `body` makes of them in "out".
using OneTile = std::function<Tile(Builder& k, const std::vector<Tile>& x)>;
inline Kernel one_tile_kernel(const std::vector<TileType>& inputs, const OneTile& body) {
  return build("one_tile", [&](Builder& k) {
    std::vector<Tile> tiles;
    for (const TileType& type : inputs) {
      const Buffer buffer = k.input("in" + std::to_string(tiles.size()), type.dtype);
      tiles.push_back(k.load(buffer, offsets_of(k, type.shape)));
    }
    const Tile result = body(k, tiles);
    k.store(k.output("out", result.dtype()), offsets_of(k, result.shape()), result);
  });
}

inline HostArray run_one(const std::vector<HostArray>& inputs, const OneTile& body) {
  std::vector<TileType> types;
  std::vector<Argument> arguments;
  for (const HostArray& array : inputs) {
    types.push_back({array.dtype(), array.shape()});
    arguments.emplace_back(array);
  }
  TileType type;
  const Kernel kernel = one_tile_kernel(types, [&](Builder& k, const std::vector<Tile>& x) {
    const Tile result = body(k, x);
    type = result.type();
    return result;
  });
  HostArray out(type.dtype, type.shape);
  arguments.emplace_back(out);
  interpret(kernel, arguments);
  return out;
}

}  // namespace cairn::tile::test
