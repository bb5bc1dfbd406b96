#include "cairn/compiler/group_kernel.h"

#include <fmt/format.h>

#include <algorithm>

#include "cairn/compiler/group_forms.h"

namespace cairn {

GroupForm form_of(const GroupBinding& binding, std::span<const int64_t> sizes) {
  switch (binding.kind) {
    case GroupKind::pointwise: return detail::pointwise_form(binding, sizes);
    case GroupKind::product:
      return binding.is_by_groups ? detail::by_groups_form(sizes)
                                  : detail::product_form(binding, sizes);
    default: return detail::reduction_form(binding, sizes);
  }
}

GroupWork work_of(const GroupBinding& binding, const GroupForm& form,
                  std::span<const int64_t> sizes) {
  switch (binding.kind) {
    case GroupKind::pointwise: return detail::pointwise_work(form, sizes);
    case GroupKind::product:
      return binding.is_by_groups ? detail::by_groups_work(form, sizes)
                                  : detail::product_work(form, sizes);
    default: return detail::reduction_work(binding, form, sizes);
  }
}

std::vector<GroupForm> forms_of(const GroupBinding& binding, std::span<const int64_t> sizes) {
  const GroupForm usual = form_of(binding, sizes);
  std::vector<GroupForm> forms = {usual};
  const auto add = [&](const GroupForm& form) {
    if (std::ranges::find(forms, form) == forms.end()) forms.push_back(form);
  };
  switch (binding.kind) {
    case GroupKind::pointwise: detail::pointwise_forms(binding, sizes, add); break;
    case GroupKind::product:
      if (binding.is_by_groups)
        detail::by_groups_forms(usual, add);
      else
        detail::product_forms(binding, usual, sizes, add);
      break;
    default: detail::reduction_forms(binding, usual, sizes, add);
  }
  return forms;
}

GroupForm odd_form(const GroupBinding& binding, GroupForm form) {
  if (form.columns) form.columns = 37;
  if (form.block.rows > 1) form.block.rows = 7;
  if (binding.panel_elements) return form;
  if (form.block.columns) form.block.columns = form.block.rows == 1 ? 999 : 37;
  if (form.block.depth) form.block.depth = 102;  // even: vdpbf16ps adds up pairs
  form.is_one_step = false;
  return form;
}

std::string to_string(const GroupForm& form) {
  std::string text;
  if (form.block.depth)
    text = fmt::format("{}x{}x{}{}", form.block.rows, form.block.columns, form.block.depth,
                       form.rows_first ? " rows first" : "");
  else if (form.block.rows)
    text = fmt::format("{}x{}", form.block.rows, form.block.columns);
  else if (form.columns)
    text = fmt::format("{} columns", form.columns);
  return text.empty() ? "as it is" : text;
}

GroupKernel make_group_kernel(const LaunchGroup& group, const std::optional<GroupForm>& asked) {
  GroupWriter writer(group);
  const auto sizes = writer.binding().sizes(group);
  CAIRN_ASSERT(sizes);
  const GroupForm form = asked ? *asked : form_of(writer.binding(), *sizes);
  switch (writer.binding().kind) {
    case GroupKind::pointwise: detail::write_pointwise(writer, form); break;
    case GroupKind::product:
      if (writer.binding().is_by_groups)
        detail::write_by_groups(writer, form);
      else
        detail::write_product(writer, form);
      break;
    default: detail::write_reduction(writer, form);
  }
  return {writer.builder().finish(), std::move(writer.binding()), form};
}

}  // namespace cairn
