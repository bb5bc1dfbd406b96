#include "cairn/nn/init.h"

#include <cmath>

#include "cairn/base/math.h"
#include "cairn/ops/elementwise.h"
#include "cairn/ops/random.h"

namespace cairn::init {
namespace {

Tensor key() { return Tensor::input({DType::u32, {2}}, "key"); }

struct Fans {
  double in = 1;
  double out = 1;
  explicit Fans(const Shape& shape) {
    double kernel = 1;
    for (int i = 2; i < shape.rank(); ++i) kernel *= static_cast<double>(shape[i]);
    in = static_cast<double>(shape.rank() > 1 ? shape[1] : shape.rank() ? shape[0] : 1) * kernel;
    out = static_cast<double>(shape.rank() ? shape[0] : 1) * kernel;
  }
};

}  // namespace

Tensor zeros(const Shape& shape) { return cairn::zeros(shape); }
Tensor ones(const Shape& shape) { return cairn::ones(shape); }
Tensor constant(const Shape& shape, double value) { return cairn::full(shape, value); }
Tensor uniform(const Shape& shape, double low, double high) {
  return cairn::uniform(key(), shape, DType::f32, low, high);
}
Tensor normal(const Shape& shape, double mean, double standard_deviation) {
  return cairn::normal(key(), shape) * standard_deviation + mean;
}
Tensor truncated_normal(const Shape& shape, double mean, double standard_deviation) {
  // erf(2 / sqrt 2): the share of a normal distribution within two standard deviations.
  const double within = math::erf(M_SQRT2);
  const Tensor u = cairn::uniform(key(), shape, DType::f32, -within, within);
  return erf_inv(u) * (M_SQRT2 * standard_deviation) + mean;
}
Tensor xavier_uniform(const Shape& shape, double gain) {
  const Fans fans(shape);
  const double bound = gain * std::sqrt(6 / (fans.in + fans.out));
  return uniform(shape, -bound, bound);
}
Tensor xavier_normal(const Shape& shape, double gain) {
  const Fans fans(shape);
  return normal(shape, 0, gain * std::sqrt(2 / (fans.in + fans.out)));
}
Tensor kaiming_uniform(const Shape& shape, double gain) {
  const double bound = gain * std::sqrt(3 / Fans(shape).in);
  return uniform(shape, -bound, bound);
}
Tensor kaiming_normal(const Shape& shape, double gain) {
  return normal(shape, 0, gain / std::sqrt(Fans(shape).in));
}

}  // namespace cairn::init
