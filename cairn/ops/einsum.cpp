// Einstein sums: axes by label, joined pairwise from the left.
//
// A pair is one product: its axes become (batch, rows of a, summed) x (batch, summed, columns of
// b). What only one operand has and nobody needs any more is summed before; without summed axes the
// pair is an elementwise product.
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "cairn/ops/elementwise.h"
#include "cairn/ops/helpers.h"
#include "cairn/ops/index.h"
#include "cairn/ops/linear.h"
#include "cairn/ops/movement.h"
#include "cairn/ops/reduce.h"

namespace cairn {

using detail::fail;

namespace {

// Letters are their codes; axes of the ellipsis are numbered from kEllipsis, the last one first.
constexpr int kEllipsis = 1000;
using Labels = std::vector<int>;

struct Labelled {
  Tensor x;
  Labels labels;

  int find(int label) const {
    const auto at = std::find(labels.begin(), labels.end(), label);
    return at == labels.end() ? -1 : static_cast<int>(at - labels.begin());
  }
  void drop(int axis) { labels.erase(labels.begin() + axis); }
};

bool has(const Labels& labels, int label) {
  return std::find(labels.begin(), labels.end(), label) != labels.end();
}

// x with its axes in the order of `order`, which names each of its labels.
Tensor ordered(const Labelled& l, const Labels& order) {
  Ints axes;
  for (int label : order) axes.push_back(l.find(label));
  return l.labels.empty() ? l.x : transpose(l.x, axes);
}

void sum_out(Labelled& l, const std::function<bool(int)>& keep) {
  Ints axes;
  Labels kept;
  for (size_t i = 0; i < l.labels.size(); ++i) {
    if (keep(l.labels[i])) {
      kept.push_back(l.labels[i]);
    } else {
      axes.push_back(static_cast<int64_t>(i));
    }
  }
  if (axes.empty()) return;
  l.x = sum(l.x, axes);
  l.labels = kept;
}

// A label that occurs twice becomes the diagonal of its two axes.
void take_diagonals(Labelled& l) {
  for (size_t i = 0; i < l.labels.size(); ++i) {
    const auto again =
        std::find(l.labels.begin() + static_cast<int64_t>(i) + 1, l.labels.end(), l.labels[i]);
    if (again == l.labels.end()) continue;
    const int first = static_cast<int>(i);
    const int second = static_cast<int>(again - l.labels.begin());
    if (l.x.size(first) != l.x.size(second))
      fail("einsum", fmt::format("the axes of a repeated label have sizes {} and {}",
                                 l.x.size(first), l.x.size(second)));
    const int label = l.labels[i];
    l.x = diagonal(moveaxis(moveaxis(l.x, first, -1), second - 1, -1));
    l.drop(second);
    l.drop(first);
    l.labels.push_back(label);
    --i;  // the label that moved into this place has not been looked at
  }
}

Shape joined(const Labels& labels, const std::map<int, int64_t>& sizes) {
  Shape shape;
  for (int label : labels) shape.push_back(sizes.at(label));
  return shape;
}

int64_t product(const Labels& labels, const std::map<int, int64_t>& sizes) {
  return joined(labels, sizes).elements();
}

Labels together(std::initializer_list<const Labels*> lists) {
  Labels all;
  for (const Labels* list : lists) all.insert(all.end(), list->begin(), list->end());
  return all;
}

Labelled join(Labelled a, Labelled b, const std::function<bool(int)>& keep) {
  // An axis of size 1 of one is no axis beside a longer one of the other.
  const auto drop_ones = [](Labelled& from, const Labelled& other) {
    for (int i = static_cast<int>(from.labels.size()) - 1; i >= 0; --i) {
      const int at = other.find(from.labels[static_cast<size_t>(i)]);
      if (at < 0 || from.x.size(i) != 1 || other.x.size(at) == 1) continue;
      from.x = squeeze(from.x, {i});
      from.drop(i);
    }
  };
  drop_ones(a, b);
  drop_ones(b, a);
  sum_out(a, [&](int label) { return keep(label) || has(b.labels, label); });
  sum_out(b, [&](int label) { return keep(label) || has(a.labels, label); });

  Labels batch, rows, summed, columns;
  std::map<int, int64_t> sizes;
  for (size_t i = 0; i < a.labels.size(); ++i) {
    const int label = a.labels[i];
    sizes[label] = a.x.size(static_cast<int>(i));
    const bool shared = has(b.labels, label);
    (!shared ? rows : keep(label) ? batch : summed).push_back(label);
  }
  for (size_t i = 0; i < b.labels.size(); ++i) {
    const int label = b.labels[i];
    sizes[label] = b.x.size(static_cast<int>(i));
    if (!has(a.labels, label)) columns.push_back(label);
  }

  const Tensor left = ordered(a, together({&batch, &rows, &summed}));
  const Tensor right = ordered(b, together({&batch, &summed, &columns}));
  const Labels result = together({&batch, &rows, &columns});
  const int64_t B = product(batch, sizes), M = product(rows, sizes), N = product(columns, sizes);
  if (summed.empty())
    return {reshape(reshape(left, {B, M, 1}) * reshape(right, {B, 1, N}), joined(result, sizes)),
            result};
  const int64_t K = product(summed, sizes);
  const Tensor out = batch.empty() ? matmul(reshape(left, {M, K}), reshape(right, {K, N}))
                                   : matmul(reshape(left, {B, M, K}), reshape(right, {B, K, N}));
  return {reshape(out, joined(result, sizes)), result};
}

struct Equation {
  std::vector<std::string> terms;  // '.' stands for an ellipsis
  std::string output;
  bool explicit_output = false;
};

[[noreturn]] void bad(std::string_view equation, std::string_view what) {
  fail("einsum", fmt::format("'{}': {}", equation, what));
}

Equation parse(std::string_view text) {
  Equation e;
  e.terms.emplace_back();
  std::string* term = &e.terms.back();
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == ' ') continue;
    if (text.substr(i, 2) == "->") {
      if (e.explicit_output) bad(text, "has more than one '->'");
      e.explicit_output = true;
      term = &e.output;
      ++i;
    } else if (c == ',' && !e.explicit_output) {
      e.terms.emplace_back();
      term = &e.terms.back();
    } else if (text.substr(i, 3) == "...") {
      if (term->find('.') != std::string::npos) bad(text, "a term has two ellipses");
      *term += '.';
      i += 2;
    } else if (std::isalpha(static_cast<unsigned char>(c))) {
      *term += c;
    } else {
      bad(text, fmt::format("'{}' is not a letter, ',', '->' or '...'", c));
    }
  }
  return e;
}

// Labels of a term; the ellipsis stands for `extra` axes, which align at their last.
Labels labels_of(const std::string& term, int extra) {
  Labels labels;
  for (char c : term) {
    if (c == '.') {
      for (int i = extra; i-- > 0;) labels.push_back(kEllipsis + i);
    } else {
      labels.push_back(static_cast<unsigned char>(c));
    }
  }
  return labels;
}

}  // namespace

Tensor einsum(std::string_view text, std::span<const Operand> operands) {
  if (operands.empty()) fail("einsum", fmt::format("'{}' needs at least one operand", text));
  const Provenance provenance(operands[0].where());
  const Equation e = parse(text);
  if (e.terms.size() != operands.size())
    bad(text, fmt::format("has {} terms, {} operands are given", e.terms.size(), operands.size()));
  const DType dtype = result_dtype("einsum", operands);

  std::vector<Labelled> list;
  std::map<int, int> uses;
  std::map<int, int64_t> sizes;
  int ellipsis = 0;
  for (size_t i = 0; i < operands.size(); ++i) {
    const Tensor x =
        operands[i].is_number() ? operands[i].as(dtype) : cast(operands[i].tensor(), dtype);
    const std::string& term = e.terms[i];
    const bool dots = term.find('.') != std::string::npos;
    const int extra = x.rank() - static_cast<int>(term.size()) + (dots ? 1 : 0);
    if (extra < 0 || (extra > 0 && !dots))
      bad(text, fmt::format("operand {} of shape {} does not have the axes of its term", i,
                            to_string(x.shape())));
    ellipsis = std::max(ellipsis, extra);
    list.push_back({x, labels_of(term, extra)});
    for (size_t axis = 0; axis < list[i].labels.size(); ++axis) {
      const int label = list[i].labels[axis];
      ++uses[label];
      const int64_t size = x.size(static_cast<int>(axis));
      int64_t& known = sizes.emplace(label, size).first->second;
      if (known == 1) known = size;
      if (size != 1 && size != known)
        bad(text, fmt::format("an axis of operand {} has size {}, another of that label has {}", i,
                              size, known));
    }
  }

  Labels output;
  if (e.explicit_output) {
    output = labels_of(e.output, ellipsis);
    if (ellipsis && e.output.find('.') == std::string::npos)
      bad(text, "the output lacks the operands' '...'");
  } else {
    for (int i = ellipsis; i-- > 0;) output.push_back(kEllipsis + i);
    for (const auto& [label, count] : uses)
      if (label < kEllipsis && count == 1) output.push_back(label);
  }
  for (size_t i = 0; i < output.size(); ++i) {
    if (!uses.count(output[i])) bad(text, "the output has a label that no operand has");
    if (std::find(output.begin(), output.begin() + static_cast<int64_t>(i), output[i]) !=
        output.begin() + static_cast<int64_t>(i))
      bad(text, "the output has a label twice");
  }

  for (Labelled& l : list) take_diagonals(l);
  Labelled result = list[0];
  for (size_t i = 1; i < list.size(); ++i) {
    result = join(result, list[i], [&](int label) {
      if (has(output, label)) return true;
      for (size_t rest = i + 1; rest < list.size(); ++rest)
        if (has(list[rest].labels, label)) return true;
      return false;
    });
  }
  sum_out(result, [&](int label) { return has(output, label); });
  return ordered(result, output);
}

Tensor einsum(std::string_view equation, std::initializer_list<Operand> operands) {
  return einsum(equation, std::span(operands.begin(), operands.size()));
}

Tensor tensordot(Operand a, Operand b, const Ints& a_axes, const Ints& b_axes) {
  const Provenance provenance(a.where());
  const Operand operands[] = {a, b};
  const DType dtype = result_dtype("tensordot", operands);
  Labelled left{a.is_number() ? a.as(dtype) : cast(a.tensor(), dtype), {}};
  Labelled right{b.is_number() ? b.as(dtype) : cast(b.tensor(), dtype), {}};
  if (a_axes.size() != b_axes.size())
    fail("tensordot", fmt::format("{} axes of the first operand and {} of the second are paired",
                                  a_axes.size(), b_axes.size()));
  for (int i = 0; i < left.x.rank(); ++i) left.labels.push_back(i);
  for (int i = 0; i < right.x.rank(); ++i) right.labels.push_back(kMaxRank + i);
  for (int i = 0; i < a_axes.size(); ++i) {
    const int at = normalize_axis("tensordot", a_axes[i], left.x.rank());
    const int to = normalize_axis("tensordot", b_axes[i], right.x.rank());
    if (left.x.size(at) != right.x.size(to))
      fail("tensordot", fmt::format("axis {} of {} and axis {} of {} have different sizes", at,
                                    to_string(left.x.shape()), to, to_string(right.x.shape())));
    left.labels[static_cast<size_t>(at)] = right.labels[static_cast<size_t>(to)] = 2 * kMaxRank + i;
  }
  return join(left, right, [](int label) { return label < 2 * kMaxRank; }).x;
}

Tensor tensordot(Operand a, Operand b, int axes) {
  const Provenance provenance(a.where());
  const int rank = a.value().rank();
  if (axes < 0 || axes > rank || axes > b.value().rank())
    fail("tensordot", fmt::format("axes={} does not fit {} and {}", axes,
                                  to_string(a.value().shape()), to_string(b.value().shape())));
  Ints last, first;
  for (int i = 0; i < axes; ++i) {
    last.push_back(rank - axes + i);
    first.push_back(i);
  }
  return tensordot(a, b, last, first);
}

Tensor outer(Operand a, Operand b) {
  const Provenance provenance(a.where());
  return expand_dims(flatten(a.value()), 1) * expand_dims(flatten(b.value()), 0);
}

Tensor dot(Operand a, Operand b) {
  const Provenance provenance(a.where());
  if (a.value().rank() != 1 || b.value().rank() != 1)
    fail("dot", fmt::format("takes two vectors, not {} and {}; use matmul or tensordot",
                            to_string(a.value().shape()), to_string(b.value().shape())));
  return matmul(a, b);
}

}  // namespace cairn
