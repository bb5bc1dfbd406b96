// What each kind of kernel adds to a GroupWriter: its grid, its indices and its loops.
#pragma once

#include <functional>

#include "cairn/compiler/group_kernel.h"
#include "cairn/compiler/group_writer.h"

namespace cairn::detail {

// Takes a form that is worth a try.
using AddForm = std::function<void(const GroupForm&)>;

void write_pointwise(GroupWriter& writer, const GroupForm& form);
GroupForm pointwise_form(const GroupBinding& binding, std::span<const int64_t> sizes);
void pointwise_forms(const GroupBinding& binding, std::span<const int64_t> sizes,
                     const AddForm& add);
GroupWork pointwise_work(const GroupForm& form, std::span<const int64_t> sizes);

void write_reduction(GroupWriter& writer, const GroupForm& form);
GroupForm reduction_form(const GroupBinding& binding, std::span<const int64_t> sizes);
void reduction_forms(const GroupBinding& binding, const GroupForm& usual,
                     std::span<const int64_t> sizes, const AddForm& add);
GroupWork reduction_work(const GroupBinding& binding, const GroupForm& form,
                         std::span<const int64_t> sizes);

void write_product(GroupWriter& writer, const GroupForm& form);
GroupForm product_form(const GroupBinding& binding, std::span<const int64_t> sizes);
void product_forms(const GroupBinding& binding, const GroupForm& usual,
                   std::span<const int64_t> sizes, const AddForm& add);
GroupWork product_work(const GroupForm& form, std::span<const int64_t> sizes);

// A convolution whose groups are last.
void write_by_groups(GroupWriter& writer, const GroupForm& form);
GroupForm by_groups_form(std::span<const int64_t> sizes);
void by_groups_forms(const GroupForm& usual, const AddForm& add);
GroupWork by_groups_work(const GroupForm& form, std::span<const int64_t> sizes);

}  // namespace cairn::detail
