#include "cairn/train/lbfgs.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace cairn {
namespace {

using Vector = std::vector<double>;

double dot(const Vector& a, const Vector& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}
double largest(const Vector& a) {
  double top = 0;
  for (const double v : a) top = std::max(top, std::fabs(v));
  return top;
}
Vector moved(const Vector& x, double step, const Vector& direction) {
  Vector result = x;
  for (size_t i = 0; i < x.size(); ++i) result[i] += step * direction[i];
  return result;
}

// A trial of the line search: step length, loss, gradient and slope along the direction.
struct Trial {
  double t, f;
  Vector g;
  double slope;
};

// Minimum of the cubic through two trials, within the bounds.
double cubic_minimum(const Trial& a, const Trial& b, double low, double high) {
  const double d1 = a.slope + b.slope - 3 * (a.f - b.f) / (a.t - b.t);
  const double square = d1 * d1 - a.slope * b.slope;
  if (square < 0) return (low + high) / 2;
  const double d2 = std::sqrt(square);
  const double at = a.t <= b.t
                        ? b.t - (b.t - a.t) * ((b.slope + d2 - d1) / (b.slope - a.slope + 2 * d2))
                        : a.t - (a.t - b.t) * ((a.slope + d2 - d1) / (a.slope - b.slope + 2 * d2));
  return std::min(std::max(at, low), high);
}

}  // namespace

Lbfgs::Point Lbfgs::evaluate(const Vector& x, const Objective& objective) {
  ++memory_.evaluations;
  Point p{0, Vector(x.size())};
  p.loss = objective(x, p.gradient);
  return p;
}

void Lbfgs::update_direction(const Vector& gradient) {
  if (memory_.iterations == 1) {
    memory_.direction = gradient;
    for (double& v : memory_.direction) v = -v;
    return;
  }
  Correction c{gradient, memory_.direction, 0};
  for (size_t i = 0; i < gradient.size(); ++i) {
    c.y[i] -= memory_.previous_gradient[i];
    c.s[i] *= memory_.step;
  }
  const double ys = dot(c.y, c.s);
  if (ys > 1e-10) {
    if (static_cast<int>(memory_.history.size()) == options_.history) memory_.history.pop_front();
    memory_.scale = ys / dot(c.y, c.y);
    c.inverse_ys = 1 / ys;
    memory_.history.push_back(std::move(c));
  }
  // Two loops: the inverse Hessian times the negative gradient.
  Vector q = gradient;
  for (double& v : q) v = -v;
  Vector alpha(memory_.history.size());
  for (size_t i = memory_.history.size(); i-- > 0;) {
    alpha[i] = dot(memory_.history[i].s, q) * memory_.history[i].inverse_ys;
    q = moved(q, -alpha[i], memory_.history[i].y);
  }
  for (double& v : q) v *= memory_.scale;
  for (size_t i = 0; i < memory_.history.size(); ++i) {
    const double beta = dot(memory_.history[i].y, q) * memory_.history[i].inverse_ys;
    q = moved(q, alpha[i] - beta, memory_.history[i].s);
  }
  memory_.direction = std::move(q);
}

double Lbfgs::step(Vector& x, const Objective& objective) {
  Point at = evaluate(x, objective);
  const double before = at.loss;
  int calls = 1;
  if (largest(at.gradient) <= options_.tolerance_gradient) return before;
  for (int i = 1; i <= options_.max_iterations; ++i) {
    ++memory_.iterations;
    update_direction(at.gradient);
    memory_.previous_gradient = at.gradient;
    const double previous_loss = at.loss;
    memory_.step = options_.learning_rate;
    if (memory_.iterations == 1) {
      double sum = 0;
      for (const double g : at.gradient) sum += std::fabs(g);
      memory_.step *= std::min(1.0, 1 / sum);
    }
    const double slope = dot(at.gradient, memory_.direction);
    if (slope > -options_.tolerance_change) break;
    const bool last = i == options_.max_iterations;
    if (options_.strong_wolfe) {
      memory_.step = search(x, memory_.step, at, slope, objective, calls);
      x = moved(x, memory_.step, memory_.direction);
    } else {
      x = moved(x, memory_.step, memory_.direction);
      // The loss after the last move is evaluated by the next step.
      if (!last) {
        at = evaluate(x, objective);
        ++calls;
      }
    }
    if (last || calls >= options_.max_evaluations ||
        largest(at.gradient) <= options_.tolerance_gradient ||
        largest(memory_.direction) * std::fabs(memory_.step) <= options_.tolerance_change ||
        std::fabs(at.loss - previous_loss) < options_.tolerance_change)
      break;
  }
  return before;
}

double Lbfgs::search(const Vector& x, double t, Point& at, double slope, const Objective& objective,
                     int& calls) {
  constexpr double kDecrease = 1e-4;  // Armijo
  constexpr double kCurvature = 0.9;
  // No more trials than evaluations are left to the step.
  const int most = options_.max_evaluations - calls;
  const auto trial = [&](double length) {
    ++calls;
    Point p = evaluate(moved(x, length, memory_.direction), objective);
    const double along = dot(p.gradient, memory_.direction);
    return Trial{length, p.loss, std::move(p.gradient), along};
  };
  const Trial start{0, at.loss, at.gradient, slope};
  const auto too_high = [&](const Trial& c) { return c.f > start.f + kDecrease * c.t * slope; };
  const auto flat = [&](const Trial& c) { return std::fabs(c.slope) <= -kCurvature * slope; };

  // Two trials with a minimum between them.
  Trial previous = start;
  Trial now = trial(t);
  std::vector<Trial> bracket;
  bool done = false;
  int tries = 0;
  for (; tries < most; ++tries) {
    if (too_high(now) || (tries > 1 && now.f >= previous.f)) {
      bracket = {previous, now};
      break;
    }
    if (flat(now)) {
      bracket = {now, now};
      done = true;
      break;
    }
    if (now.slope >= 0) {
      bracket = {previous, now};
      break;
    }
    const double next =
        cubic_minimum(previous, now, now.t + 0.01 * (now.t - previous.t), now.t * 10);
    previous = std::move(now);
    now = trial(next);
  }
  if (tries == most) bracket = {start, now};

  // Narrowed until both conditions hold.
  bool slow = false;
  size_t low = bracket[0].f <= bracket[1].f ? 0 : 1;
  const double size = largest(memory_.direction);
  for (; !done && tries < most; ++tries) {
    const double from = std::min(bracket[0].t, bracket[1].t);
    const double to = std::max(bracket[0].t, bracket[1].t);
    if ((to - from) * size < options_.tolerance_change) break;
    double next = cubic_minimum(bracket[0], bracket[1], from, to);
    const double margin = 0.1 * (to - from);
    if (std::min(to - next, next - from) < margin) {
      if (slow || next >= to || next <= from) {
        next = std::fabs(next - to) < std::fabs(next - from) ? to - margin : from + margin;
        slow = false;
      } else {
        slow = true;
      }
    } else {
      slow = false;
    }
    Trial c = trial(next);
    if (too_high(c) || c.f >= bracket[low].f) {
      bracket[1 - low] = std::move(c);
      low = bracket[0].f <= bracket[1].f ? 0 : 1;
    } else {
      if (flat(c))
        done = true;
      else if (c.slope * (bracket[1 - low].t - bracket[low].t) >= 0)
        bracket[1 - low] = bracket[low];
      bracket[low] = std::move(c);
    }
  }
  at = {bracket[low].f, std::move(bracket[low].g)};
  return bracket[low].t;
}

}  // namespace cairn
