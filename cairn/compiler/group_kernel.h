// Launch groups as tile kernels.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "cairn/compiler/group_domain.h"
#include "cairn/tile/ir.h"

namespace cairn {

// Of a product its block of the result and of K; of pointwise nodes the elements of a program.
struct ProductBlock {
  int64_t rows = 0, columns = 0, depth = 0;
  friend bool operator==(const ProductBlock&, const ProductBlock&) = default;
};

// What sizes decide about a kernel; groups of equal structure and form share one.
struct GroupForm {
  // Of rows and columns: whether a sum has several chunks (docs/adr/0014-order-of-sums.md).
  bool is_long = false;
  // Of columns: how many sums a program has side by side for each, and how many columns.
  int64_t lanes = 0, columns = 0;
  ProductBlock block = {};
  // Of columns: no more than the lanes are summed up. Of a convolution whose groups are last: a
  // program has one block, of a few rows with long sums.
  bool is_one_block = false;
  // Of a product: neighbouring programs share rows of x, not columns of y.
  bool rows_first = false;
  // Of a product: K is no longer than a step, so that no loop carries its sums.
  bool is_one_step = false;
  friend bool operator==(const GroupForm&, const GroupForm&) = default;
};
// `sizes` as GroupBinding::sizes() gives them.
GroupForm form_of(const GroupBinding& binding, std::span<const int64_t> sizes);
// That one, and others worth a try: all give the same bits.
std::vector<GroupForm> forms_of(const GroupBinding& binding, std::span<const int64_t> sizes);
// With blocks whose sizes divide nothing, which tests compute with: the same bits. Panels keep
// their width and steps, as they were written in them.
GroupForm odd_form(const GroupBinding& binding, GroupForm form);
std::string to_string(const GroupForm& form);

// Programs of the grid, and a measure of what one does, in elements or products.
struct GroupWork {
  int64_t programs = 0;
  int64_t elements = 0;
  int64_t products = 0;
};
GroupWork work_of(const GroupBinding& binding, const GroupForm& form,
                  std::span<const int64_t> sizes);

struct GroupKernel {
  // Its parameters: the group's inputs, its outputs, sizes, size and start of each step, constants,
  // tables.
  tile::Kernel kernel;
  GroupBinding binding;
  GroupForm form;
};
// `form`: one of forms_of(); the first where none is given.
GroupKernel make_group_kernel(const LaunchGroup& group, const std::optional<GroupForm>& form = {});

}  // namespace cairn
