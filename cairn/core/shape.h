// Shape: the sizes of a tensor, at most kMaxRank of them, stored in place.
//
// Twelve is four more than anything in the models we read; vmap adds one per nesting level. A fixed
// array keeps a node at one allocation. Ints is the same container for axes, strides and other
// short lists of integers.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

#include "cairn/base/error.h"

namespace cairn {

inline constexpr int kMaxRank = 12;

class Ints {
 public:
  Ints() = default;
  Ints(std::initializer_list<int64_t> values) : Ints(std::span(values.begin(), values.size())) {}
  Ints(std::span<const int64_t> values) {
    for (int64_t v : values) push_back(v);
  }
  Ints(int count, int64_t value) {
    for (int i = 0; i < count; ++i) push_back(value);
  }

  int size() const { return size_; }
  bool empty() const { return size_ == 0; }
  int64_t& operator[](int i) { return data_[i]; }
  int64_t operator[](int i) const { return data_[i]; }
  int64_t& back() { return data_[size_ - 1]; }
  int64_t back() const { return data_[size_ - 1]; }
  const int64_t* begin() const { return data_.data(); }
  const int64_t* end() const { return data_.data() + size_; }
  int64_t* begin() { return data_.data(); }
  int64_t* end() { return data_.data() + size_; }

  // Throws Error beyond kMaxRank.
  void push_back(int64_t v) {
    if (size_ == kMaxRank)
      throw_error("a tensor has at most 12 dimensions; this one would have more");
    data_[size_++] = v;
  }
  void pop_back() { --size_; }
  void insert(int at, int64_t v) {
    push_back(v);
    for (int i = size_ - 1; i > at; --i) data_[i] = data_[i - 1];
    data_[at] = v;
  }
  void erase(int at) {
    for (int i = at; i + 1 < size_; ++i) data_[i] = data_[i + 1];
    --size_;
  }
  bool contains(int64_t v) const {
    for (int64_t x : *this)
      if (x == v) return true;
    return false;
  }
  friend bool operator==(const Ints& a, const Ints& b) {
    if (a.size_ != b.size_) return false;
    for (int i = 0; i < a.size_; ++i)
      if (a.data_[i] != b.data_[i]) return false;
    return true;
  }

 private:
  std::array<int64_t, kMaxRank> data_;
  int size_ = 0;
};

class Shape : public Ints {
 public:
  using Ints::Ints;
  Shape() = default;
  explicit Shape(const Ints& sizes) : Ints(sizes) {}
  int rank() const { return size(); }
  // Number of elements; 1 for a scalar.
  int64_t elements() const {
    int64_t n = 1;
    for (int64_t s : *this) n *= s;
    return n;
  }
  // Row-major strides, in elements.
  Ints strides() const {
    Ints s(size(), 1);
    for (int i = size() - 2; i >= 0; --i) s[i] = s[i + 1] * (*this)[i + 1];
    return s;
  }
};

// "[2,3]"; "[]" for a scalar.
std::string to_string(const Ints& values);

// Product of sizes, or -1 when one is negative or the product does not fit in 63 bits: the check to
// make before any size that came from a file is used.
int64_t checked_elements(std::span<const int64_t> sizes);

}  // namespace cairn
