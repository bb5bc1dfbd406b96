// PTX and AMDGCN of kernels: which instructions access memory, which compute, and that NVIDIA's
// assembler, where there is one, takes it without spilling registers. Running it needs a GPU and is
// not done here.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <map>
#include <utility>

#include "cairn/base/error.h"
#include "cairn/compiler/kernel_compiler.h"
#include "cairn/tile/kernels.h"
#include "tests/compiler_gpu/gpu_kernels.h"
#include "tests/support/assemble.h"
#include "tests/support/message_of.h"

namespace cairn {
namespace {

using namespace cairn::test;
using testing::HasSubstr;

constexpr std::array kNvidia = {GpuTarget::sm_80, GpuTarget::sm_90};

// The texts are long: a failure names the word that it missed.
bool contains(std::string_view text, std::string_view word) { return text.find(word) != text.npos; }
int count(std::string_view text, std::string_view word) {
  int found = 0;
  for (size_t at = text.find(word); at != text.npos; at = text.find(word, at + 1)) ++found;
  return found;
}

struct Named {
  const char* name;
  Kernel kernel;
};
// A named kernel of the tile language's library, at its usual shape.
Named named(const char* name, DType dtype) {
  const tile::NamedKernel& kernel = tile::named_kernel(name);
  return {name, tile::run_passes(kernel.make(dtype, kernel.shape))};
}
std::vector<Named> products() {
  std::vector<Named> result = {named("matmul", DType::f64)};
  for (const DType dtype : {DType::f32, DType::f16, DType::bf16})
    for (const char* name : {"matmul", "matmul_gelu", "attention"})
      result.push_back(named(name, dtype));
  for (const DType dtype : {DType::f32, DType::f16, DType::bf16})
    result.push_back(
        {"attention, wide",
         tile::run_passes(tile::named_kernel("attention").make(dtype, {8, 512, 128}))});
  return result;
}
std::vector<Named> make_kernels() {
  std::vector<Named> result = {
      {"add", vector_add(4)},       {"add, any size", vector_add(1)}, {"gelu", gelu()},
      {"softmax", softmax(4)},      {"softmax, any", softmax(1)},     {"layer norm", layer_norm()},
      {"bias add", bias_add(4)},    {"bias add, any", bias_add(1)},   {"bf16 scale", bf16_scale()},
      {"transposed", transposed()}, {"long rows", long_rows()},       {"f16 limit", f16_limit()},
      {"histogram", histogram()}};
  for (Named& product : products()) result.push_back(std::move(product));
  for (const DType dtype : {DType::f32, DType::bf16})
    result.push_back({"product, aligned", product(dtype, 8)});
  return result;
}
const std::vector<Named>& kernels() {
  static const std::vector<Named> kAll = make_kernels();
  return kAll;
}
// Of one of kernels(), which several tests look at: compiled once.
const GpuKernel& compiled(const Named& named, GpuTarget target) {
  static std::map<std::pair<const Named*, GpuTarget>, GpuKernel> known;
  const auto [found, is_new] = known.try_emplace({&named, target});
  if (is_new) found->second = compile_gpu_kernel(named.kernel, target);
  return found->second;
}

TEST(Gpu, CodeIsForTheTargetAndUsesNoLocalMemory) {
  for (const Named& named : kernels()) {
    SCOPED_TRACE(named.name);
    for (const GpuTarget target : kNvidia) {
      const GpuKernel& code = compiled(named, target);
      EXPECT_FALSE(contains(code.text, ".local")) << ".local";
      EXPECT_TRUE(contains(code.text, fmt::format(".target {}\n", name(target))));
      EXPECT_TRUE(contains(code.text, fmt::format(".visible .entry {}(", named.kernel.name)))
          << fmt::format(".visible .entry {}(", named.kernel.name);
      EXPECT_TRUE(contains(code.text, fmt::format(".maxntid {}", code.threads)))
          << fmt::format(".maxntid {}", code.threads);
      EXPECT_FALSE(contains(code.text, ".local")) << ".local";
      EXPECT_FALSE(contains(code.text, "depot")) << "depot";
      EXPECT_FALSE(contains(code.text, "call")) << "call";
    }
    const GpuKernel& code = compiled(named, GpuTarget::gfx942);
    EXPECT_TRUE(contains(code.text, "amdgcn-amd-amdhsa--gfx942")) << "amdgcn-amd-amdhsa--gfx942";
    EXPECT_TRUE(contains(code.text, ".amdhsa_private_segment_fixed_size 0\n"))
        << ".amdhsa_private_segment_fixed_size 0\n";
    EXPECT_FALSE(contains(code.text, "scratch_")) << "scratch_";
    EXPECT_TRUE(contains(code.text, ".vgpr_spill_count: 0\n")) << ".vgpr_spill_count: 0";
  }
}

// The accesses of PTX to global memory, as "ld.v4" is counted.
struct Accesses {
  int wide_loads, wide_stores, narrow_loads, narrow_stores;
  explicit Accesses(const std::string& ptx)
      : wide_loads(count(ptx, "ld.global.v4") + count(ptx, "ld.global.nc.v4")),
        wide_stores(count(ptx, "st.global.v4")),
        narrow_loads(count(ptx, "ld.global") - wide_loads),
        narrow_stores(count(ptx, "st.global") - wide_stores) {}
};

TEST(Gpu, AlignedContiguousTilesAreAccessedBy16Bytes) {
  for (const Named& named :
       {Named{"add", vector_add(4)}, Named{"gelu", gelu()}, Named{"softmax", softmax(4)},
        Named{"bias add", bias_add(4)}, Named{"bf16 scale", bf16_scale()}}) {
    SCOPED_TRACE(named.name);
    const Accesses ptx(compile_gpu_kernel(named.kernel, GpuTarget::sm_80).text);
    EXPECT_GT(ptx.wide_loads, 0);
    EXPECT_GT(ptx.wide_stores, 0);
    EXPECT_EQ(ptx.narrow_loads, 0);
    EXPECT_EQ(ptx.narrow_stores, 0);
    const std::string amd = compile_gpu_kernel(named.kernel, GpuTarget::gfx942).text;
    EXPECT_GT(count(amd, "global_load_dwordx4"), 0);
    EXPECT_GT(count(amd, "global_store_dwordx4"), 0);
    EXPECT_EQ(count(amd, "global_load_dword "), 0);
    EXPECT_EQ(count(amd, "global_store_dword "), 0);
  }
}

// Past the coherent cache goes what no output can be in the place of.
TEST(Gpu, InputsThatMayBeOverwrittenAreReadCoherently) {
  const auto incoherent = [](const Kernel& kernel) {
    return count(compile_gpu_kernel(kernel, GpuTarget::sm_80).text, "ld.global.nc");
  };
  EXPECT_EQ(incoherent(vector_add(4)), 0);
  EXPECT_EQ(incoherent(softmax(4)), 0);
  // x is as the output is; the scale is not.
  const int scales = incoherent(layer_norm());
  EXPECT_GT(scales, 0);
  EXPECT_LT(scales, count(compile_gpu_kernel(layer_norm(), GpuTarget::sm_80).text, "ld.global"));
  EXPECT_GT(incoherent(product(DType::f16, 1)), 0);
}

TEST(Gpu, WhatIsNotAlignedIsNot) {
  const auto accesses = [](const Kernel& kernel) {
    return Accesses(compile_gpu_kernel(kernel, GpuTarget::sm_80).text);
  };
  // Rows of any length start anywhere.
  EXPECT_EQ(accesses(softmax(1)).wide_loads, 0);
  EXPECT_EQ(accesses(softmax(1)).wide_stores, 0);
  EXPECT_EQ(accesses(bias_add(1)).wide_stores, 0);
  // Rows of an even length: two at a time.
  const std::string pairs = compile_gpu_kernel(softmax(2), GpuTarget::sm_80).text;
  EXPECT_EQ(count(pairs, "ld.global.v4"), 0);
  EXPECT_GT(count(pairs, "ld.global.v2"), 0);
  // Buffers that promise less.
  EXPECT_EQ(accesses(vector_add(4, DType::f32, 4)).wide_loads, 0);
  // A vector of any size ends anywhere, but starts aligned: both.
  EXPECT_GT(accesses(vector_add(1)).wide_loads, 0);
  EXPECT_GT(accesses(vector_add(1)).narrow_loads, 0);
}

TEST(Gpu, ArithmeticIsThatOfTheKernel) {
  const auto compute = [](bool fused) {
    return tile::build("compute", [&](Builder& k) {
      const Buffer x = k.input("x", DType::f32), out = k.output("out", DType::f32);
      const Tile i = k.arange(128);
      const Tile v = k.load(x, i);
      k.store(out, i, fused ? tile::fma(v, v, v) : v * v + v);
    });
  };
  for (const GpuTarget target : kNvidia) {
    EXPECT_TRUE(contains(compile_gpu_kernel(compute(true), target).text, "fma.rn.f32"));
    const std::string text = compile_gpu_kernel(compute(false), target).text;
    EXPECT_FALSE(contains(text, "fma")) << "fma";
    // Without a rounding mode ptxas would fuse them.
    EXPECT_TRUE(contains(text, "mul.rn.f32")) << "mul.rn.f32";
    EXPECT_TRUE(contains(text, "add.rn.f32")) << "add.rn.f32";
    for (const Named& named : kernels()) {
      SCOPED_TRACE(named.name);
      const std::string& ptx = compiled(named, target).text;
      for (const char* word : {".ftz", ".approx", "mul.f32", "add.f32", "sub.f32", "div.full"})
        EXPECT_FALSE(contains(ptx, word)) << word;
    }
  }
  const std::string amd = compile_gpu_kernel(compute(false), GpuTarget::gfx942).text;
  EXPECT_FALSE(contains(amd, "fma")) << "fma";
  EXPECT_FALSE(contains(amd, "mac_f32")) << "mac_f32";
  EXPECT_TRUE(contains(amd, ".amdhsa_float_denorm_mode_32 3")) << ".amdhsa_float_denorm_mode_32 3";
  EXPECT_TRUE(contains(amd, ".amdhsa_float_round_mode_32 0")) << ".amdhsa_float_round_mode_32 0";
}

TEST(Gpu, ReductionsExchangeWithinWarps) {
  const std::string ptx = compile_gpu_kernel(layer_norm(), GpuTarget::sm_90).text;
  // Eight rows are two rounds of four lines, and two sums have five halvings each.
  EXPECT_EQ(count(ptx, "shfl.sync.bfly"), 2 * 2 * 5);
  EXPECT_EQ(count(ptx, "bar.sync"), 2 * 2);
  EXPECT_GT(count(compile_gpu_kernel(layer_norm(), GpuTarget::gfx942).text, "ds_bpermute_b32"), 0);
}

TEST(Gpu, ProductsOfNarrowFloatsAreMatrixInstructions) {
  for (const GpuTarget target : kNvidia) {
    const auto text = [&](const char* name, DType dtype) {
      return compile_gpu_kernel(named(name, dtype).kernel, target).text;
    };
    // 64 x 64 sums in four warps are eight fragments in each, twice 16 deep.
    EXPECT_EQ(count(text("matmul", DType::f16), "mma.sync.aligned.m16n8k16.row.col.f32.f16"), 16);
    EXPECT_EQ(count(text("matmul", DType::bf16), "mma.sync.aligned.m16n8k16.row.col.f32.bf16"), 16);
    EXPECT_EQ(count(text("matmul", DType::f32), "mma.sync"), 0);
    EXPECT_GT(count(text("matmul", DType::f32), "fma.rn.f32"), 0);
    EXPECT_GT(count(text("matmul", DType::f64), "fma.rn.f64"), 0);
    // Weights of the values stay in registers: queries and keys are read, then values.
    const std::string attention = text("attention", DType::bf16);
    EXPECT_EQ(count(attention, "mma.sync"), 2 * 4 * 8);
    EXPECT_EQ(count(attention, "ldmatrix.sync.aligned.m8n8.x4.shared"), 4 + 4 * 4);
    EXPECT_EQ(count(attention, "ldmatrix.sync.aligned.m8n8.x4.trans"), 4 * 4);
  }
  const auto amd = [](const char* name, DType dtype) {
    return compile_gpu_kernel(named(name, dtype).kernel, GpuTarget::gfx942).text;
  };
  EXPECT_GT(count(amd("matmul", DType::f16), "v_mfma_f32_16x16x16_f16"), 0);
  EXPECT_GT(count(amd("attention", DType::bf16), "v_mfma_f32_16x16x16_bf16"), 0);
  EXPECT_EQ(count(amd("matmul", DType::f32), "v_mfma"), 0);
}

TEST(Gpu, AtomicsAreInstructions) {
  const std::string ptx = compile_gpu_kernel(histogram(), GpuTarget::sm_80).text;
  EXPECT_EQ(count(ptx, "atom.global.add.u32"), 4);  // of 512 elements by 128 threads
  EXPECT_FALSE(contains(ptx, "atom.global.cas")) << "atom.global.cas";
  EXPECT_EQ(count(compile_gpu_kernel(histogram(), GpuTarget::gfx942).text, "global_atomic_add"), 4);
}

TEST(Gpu, LoopsOfStagesCopyAhead) {
  struct Copies {
    int by_16, by_8, by_4;
    bool operator==(const Copies&) const = default;
  };
  const auto copies = [](DType dtype, int64_t divisor, GpuTarget target, bool turned = false) {
    const std::string text = compile_gpu_kernel(product(dtype, divisor, turned), target).text;
    EXPECT_EQ(count(text, "cp.async.commit_group"), count(text, "cp.async.") > 0 ? 2 : 0);
    const std::string ca = "cp.async.ca.shared.global";
    int by_8 = 0, by_4 = 0;
    for (size_t at = text.find(ca); at != text.npos; at = text.find(ca, at + 1))
      ++(text.substr(at, text.find(';', at) - at).find("], 8,") != text.npos ? by_8 : by_4);
    return Copies{count(text, "cp.async.cg.shared.global"), by_8, by_4};
  };
  for (const GpuTarget target : kNvidia) {
    // 32 x 32 and 32 x 64 elements by 128 threads, for the first turn and in the loop.
    EXPECT_EQ(copies(DType::f32, 4, target), (Copies{2 * (2 + 4), 0, 0}));
    EXPECT_EQ(copies(DType::bf16, 8, target), (Copies{2 * (1 + 2), 0, 0}));
    EXPECT_EQ(copies(DType::bf16, 8, target, true), (Copies{2 * (1 + 2), 0, 0}));
    EXPECT_EQ(copies(DType::f16, 4, target), (Copies{0, 2 * (2 + 4), 0}));
    EXPECT_EQ(copies(DType::f16, 2, target), (Copies{0, 0, 2 * (4 + 8)}));
    // Two bytes are too few for a copy.
    EXPECT_EQ(copies(DType::f16, 1, target), (Copies{0, 0, 0}));
  }
  EXPECT_FALSE(
      contains(compile_gpu_kernel(product(DType::f16, 8), GpuTarget::gfx942).text, "async"));
}

// A warp computes a product together, whatever its threads then store.
TEST(Gpu, MatrixInstructionsStandBeforeBranches) {
  const Kernel kernel = tile::build("masked", [](Builder& k) {
    const Buffer x = k.input("x", DType::f16), out = k.output("out", DType::f32);
    const Tile rows = k.size("rows");
    const Tile row = tile::expand_dims(k.arange(64), 1);
    const Tile v = k.load(x, tile::reshape(k.arange(64 * 64), {64, 64}));
    k.store(out, row * 64 + tile::expand_dims(k.arange(64), 0),
            tile::dot(v, v, k.full({64, 64}, 0, DType::f32)), row < rows);
  });
  for (const GpuTarget target : kNvidia) {
    const std::string text = compile_gpu_kernel(kernel, target).text;
    const size_t store = text.find("st.global");
    EXPECT_EQ(count(text.substr(0, store), "mma.sync"), 4 * 8);
    EXPECT_EQ(count(text, "mma.sync"), 4 * 8);
    const size_t branch = text.rfind("bra", store), product = text.rfind("mma.sync");
    EXPECT_LT(product, branch);
    EXPECT_LT(text.rfind("ldmatrix"), branch);
    // No branch within the products.
    const size_t first = text.find("ldmatrix");
    EXPECT_EQ(count(text.substr(first, product - first), "bra"), 0);
  }
}

// Where its sums are: four threads have the 64 columns of a row, so the largest of each of a
// thread's two rows takes two shuffles. The order of sums has the last halving in the thread: two
// more each.
TEST(Gpu, SumsOfAProductAreReducedInRegisters) {
  const std::string ptx =
      compile_gpu_kernel(named("attention", DType::bf16).kernel, GpuTarget::sm_80).text;
  EXPECT_EQ(count(ptx, "shfl.sync.bfly"), 2 * 2 + 2 * 4);
}

TEST(Gpu, SharedMemoryBeyond48KIsTheLaunchs) {
  const auto compiled = [](GpuTarget target) {
    return compile_gpu_kernel(named("attention", DType::f32).kernel, target);
  };
  const GpuKernel large = compiled(GpuTarget::sm_80);
  EXPECT_GT(large.shared_bytes, 48 * 1024);
  EXPECT_TRUE(contains(large.text, ".extern .shared .align 16 .b8 shared[]"));
  EXPECT_EQ(compiled(GpuTarget::gfx942).shared_bytes, 0);
  EXPECT_EQ(compile_gpu_kernel(softmax(4), GpuTarget::sm_80).shared_bytes, 0);
  const auto wide = [](GpuTarget target) {
    const tile::NamedKernel& kernel = tile::named_kernel("attention");
    return message_of([&] {
      compile_gpu_kernel(tile::run_passes(kernel.make(DType::f32, {1, 64, 256})), target);
    });
  };
  EXPECT_THAT(wide(GpuTarget::gfx942), HasSubstr("bytes of shared memory, a block has 65536"));
}

TEST(Gpu, ALargerTileHasMoreThreads) {
  const auto threads = [](int64_t n) {
    return compile_gpu_kernel(tile::build("copy",
                                          [&](Builder& k) {
                                            const Buffer x = k.input("x", DType::f32);
                                            const Buffer out = k.output("out", DType::f32);
                                            k.store(out, k.arange(n), k.load(x, k.arange(n)));
                                          }),
                              GpuTarget::sm_80)
        .threads;
  };
  EXPECT_EQ(threads(1), 128);
  EXPECT_EQ(threads(1000), 128);
  EXPECT_EQ(threads(4096), 256);
  EXPECT_EQ(threads(32768), 1024);
  EXPECT_THAT(message_of([&] { threads(32769); }), HasSubstr("a tile of 32769 elements"));
}

TEST(Gpu, WhatHasNoLoweringIsAnError) {
  const auto message = [](const std::function<void(Builder&, const Tile&)>& body) {
    return message_of([&] {
      compile_gpu_kernel(tile::build("refused", [&](Builder& k) { body(k, k.arange(64)); }),
                         GpuTarget::sm_80);
    });
  };
  EXPECT_THAT(message([](Builder& k, const Tile& i) {
                const Buffer x = k.inout("x", DType::f64);
                k.store(x, i, tile::exp(k.load(x, i)));
              }),
              HasSubstr("[tile exp] of f64 is a function call, which code for a GPU has none of"));
  EXPECT_THAT(message([](Builder& k, const Tile& i) {
                const Buffer x = k.inout("x", DType::f16);
                k.atomic(tile::Combine::sum, x, i, k.full({64}, 1, DType::f16));
              }),
              HasSubstr("[tile atomic] has no instruction for the sum of f16"));
  EXPECT_THAT(message([](Builder& k, const Tile& i) {
                k.store(k.output("x", DType::i64), k.full({64}, 0, DType::i64), i);
              }),
              HasSubstr("[tile store] offsets repeat along axis 0"));
  EXPECT_THAT(message([](Builder& k, const Tile& i) {
                const Buffer x = k.inout("x", DType::f32);
                k.store(x, i, k.load(x, i) * 2.0);
                k.store(x, i + 64, k.load(x, i), i < 32);
                k.store(x, tile::reshape(i, {8, 8}), k.load(x, tile::reshape(i + 1, {8, 8})));
              }),
              HasSubstr("reads a buffer after it was written"));
}

// --- ptxas --------------------------------------------------------------------------------------

TEST(Gpu, AssemblesWithoutSpills) {
  if (!can_assemble(GpuTarget::sm_90)) GTEST_SKIP() << "no ptxas on PATH";
  for (const Named& named : kernels())
    for (const GpuTarget target : kNvidia) {
      SCOPED_TRACE(fmt::format("{} for {}", named.name, name(target)));
      EXPECT_THAT(assembled(compiled(named, target).text, target), HasSubstr(kNoSpills));
    }
}

// The number behind a word; -1 without it.
int number_behind(const std::string& text, const std::string& word) {
  const size_t at = text.find(word);
  return at == text.npos ? -1 : std::atoi(text.c_str() + at + word.size());
}

// Registers of a thread by ptxas 13 for sm_90 and by LLVM 19 for gfx942, rounded up by a twentieth:
// more of them, and fewer blocks run at once.
struct RegisterBound {
  const char* name;
  DType dtype;
  int nvidia, amd;
};
constexpr RegisterBound kRegisters[] = {
    {"add", DType::f32, 31, 24},         {"gelu", DType::f32, 62, 47},
    {"softmax", DType::f32, 42, 59},     {"layer_norm", DType::f32, 42, 47},
    {"matmul", DType::f32, 133, 116},    {"matmul", DType::bf16, 99, 135},
    {"attention", DType::f32, 255, 294}, {"attention", DType::bf16, 193, 273},
};

TEST(Gpu, RegistersHaveBounds) {
  const bool with_ptxas = can_assemble(GpuTarget::sm_90);
  for (const RegisterBound& bound : kRegisters) {
    SCOPED_TRACE(fmt::format("{} {}", bound.name, name(bound.dtype)));
    const Kernel kernel = named(bound.name, bound.dtype).kernel;
    const int amd =
        number_behind(compile_gpu_kernel(kernel, GpuTarget::gfx942).text, ".vgpr_count:");
    EXPECT_GT(amd, 0);
    EXPECT_LE(amd, bound.amd);
    if (!with_ptxas) continue;
    const GpuTarget target = GpuTarget::sm_90;
    const int nvidia =
        number_behind(assembled(compile_gpu_kernel(kernel, target).text, target), "Used ");
    EXPECT_GT(nvidia, 0);
    EXPECT_LE(nvidia, bound.nvidia);
  }
}

TEST(Gpu, AssemblesForAmd) {
  if (!can_assemble(GpuTarget::gfx942)) GTEST_SKIP() << "no llvm-mc-19 on PATH";
  for (const Named& named : kernels()) {
    SCOPED_TRACE(named.name);
    assembled(compiled(named, GpuTarget::gfx942).text, GpuTarget::gfx942);
  }
}

}  // namespace
}  // namespace cairn
