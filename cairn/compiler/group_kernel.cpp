#include "cairn/compiler/group_kernel.h"

#include "cairn/compiler/group_forms.h"

namespace cairn {

GroupForm form_of(const GroupBinding& binding, std::span<const int64_t> sizes) {
  switch (binding.kind) {
    case GroupKind::pointwise: return {};
    case GroupKind::product: return detail::product_form(binding, sizes);
    default: return detail::reduction_form(binding, sizes);
  }
}

GroupWork work_of(const GroupBinding& binding, const GroupForm& form,
                  std::span<const int64_t> sizes) {
  switch (binding.kind) {
    case GroupKind::pointwise: return detail::pointwise_work(binding, sizes);
    case GroupKind::product: return detail::product_work(form, sizes);
    default: return detail::reduction_work(binding, form, sizes);
  }
}

GroupKernel make_group_kernel(const LaunchGroup& group) {
  GroupWriter writer(group);
  const auto sizes = writer.binding().sizes(group);
  CAIRN_ASSERT(sizes);
  const GroupForm form = form_of(writer.binding(), *sizes);
  switch (writer.binding().kind) {
    case GroupKind::pointwise: detail::write_pointwise(writer); break;
    case GroupKind::product: detail::write_product(writer, form); break;
    default: detail::write_reduction(writer, form);
  }
  return {writer.builder().finish(), std::move(writer.binding()), form};
}

}  // namespace cairn
