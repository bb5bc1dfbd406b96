// A program outside the tree that uses the installed library.
#include <cairn/core/dtype.h>

#include <iostream>

int main() {
  std::cout << cairn::name(cairn::DType::f32) << "\n";
  return cairn::name(cairn::DType::f32) == "f32" ? 0 : 1;
}
