// What each kind of kernel adds to a GroupWriter: its grid, its indices and its loops.
#pragma once

#include "cairn/compiler/group_kernel.h"
#include "cairn/compiler/group_writer.h"

namespace cairn::detail {

void write_pointwise(GroupWriter& writer);
GroupWork pointwise_work(const GroupBinding& binding, std::span<const int64_t> sizes);

void write_reduction(GroupWriter& writer, const GroupForm& form);
GroupForm reduction_form(const GroupBinding& binding, std::span<const int64_t> sizes);
GroupWork reduction_work(const GroupBinding& binding, const GroupForm& form,
                         std::span<const int64_t> sizes);

void write_product(GroupWriter& writer, const GroupForm& form);
GroupForm product_form(const GroupBinding& binding, std::span<const int64_t> sizes);
GroupWork product_work(const GroupForm& form, std::span<const int64_t> sizes);

}  // namespace cairn::detail
