// A small model whose matrices are all wide enough for panels.
#pragma once

#include "cairn/models/transformer.h"

namespace cairn::test {

inline TransformerConfig config_with_panels() {
  TransformerConfig c;
  c.vocabulary = 150;
  c.context = 256;
  c.layers = 2;
  c.heads = 4;
  c.kv_heads = 2;
  c.width = 64;
  c.head_width = 32;
  c.hidden = 128;
  c.initial_deviation = 0.3;
  return c;
}

}  // namespace cairn::test
