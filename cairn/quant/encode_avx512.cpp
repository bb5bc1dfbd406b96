// encode_kernels.inc for CpuTarget::avx512.
#include <utility>

#include "cairn/quant/encode_kernels.h"

namespace cairn::detail {
namespace {
#include "cairn/quant/encode_kernels.inc"
}  // namespace

void encode_batch_avx512(const EncoderSpec& spec, EncoderBatch& batch) {
  encode_batch(spec, batch);
}

}  // namespace cairn::detail
