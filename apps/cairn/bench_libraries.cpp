// OpenBLAS and oneDNN, opened at run time: the product of f32 matrices is all that is asked of
// them. Their functions are declared here, so neither is needed to build.
#include <fmt/format.h>

#include <cmath>
#include <limits>

#include "apps/cairn/bench_peers.h"
#include "cairn/base/error.h"
#include "cairn/base/shared_library.h"

namespace cairn::app {
namespace {

struct Product {
  bool transposed_a = false, transposed_b = false;
  int64_t m = 0, k = 0, n = 0;
  const float *a = nullptr, *b = nullptr;
  float* c = nullptr;

  int64_t a_row() const { return transposed_a ? m : k; }
  int64_t b_row() const { return transposed_b ? k : n; }
};

class ProductPeer : public Peer {
 public:
  std::string prepare(const BenchCase& work, std::span<const HostArray> inputs,
                      const HostArray& result) override {
    const std::string_view op = work.op->name;
    if (op != "matmul" && op != "matmul_nt" && op != "matmul_tn") return "only plain products";
    if (work.dtype != DType::f32) return "only products of f32";
    inputs_.assign(inputs.begin(), inputs.end());
    c_ = HostArray(DType::f32, result.shape());
    product_ = {op == "matmul_tn",
                op == "matmul_nt",
                work.sizes[0],
                work.sizes[1],
                work.sizes[2],
                inputs_[0].span<float>().data(),
                inputs_[1].span<float>().data(),
                c_.mutable_span<float>().data()};
    multiply(product_);
    return difference(result);
  }
  double turn(double seconds) override {
    return timed_turn([&] { multiply(product_); }, seconds);
  }

 protected:
  virtual void multiply(const Product& product) const = 0;

 private:
  // Sums of k products of numbers in [-1, 1) grow like the root of k, and each of k additions
  // rounds. A transposed operand that is taken for a plain one is off by the root of k itself.
  std::string difference(const HostArray& ours) const {
    const auto k = static_cast<double>(product_.k);
    const double bound = std::max(k, 4.0) * std::sqrt(k) * std::numeric_limits<float>::epsilon();
    const auto x = ours.span<float>(), y = c_.span<float>();
    for (size_t i = 0; i < x.size(); ++i)
      if (!(std::abs(x[i] - y[i]) <= bound))
        return fmt::format("element {} is {} here and {} there", i, x[i], y[i]);
    return {};
  }

  std::vector<HostArray> inputs_;
  HostArray c_;
  Product product_;
};

class OpenBlas : public ProductPeer {
 public:
  explicit OpenBlas(int threads) {
    library_.find<void(int)>("openblas_set_num_threads")(threads);
    sgemm_ = library_.find<Sgemm>("cblas_sgemm");
    version_ = library_.find<char*()>("openblas_get_config")();
    // "OpenBLAS 0.3.21 NO_LAPACKE DYNAMIC_ARCH ...".
    const size_t first = version_.find(' ');
    if (first != std::string::npos) version_.resize(version_.find(' ', first + 1));
  }
  std::string version() const override { return version_; }

 protected:
  void multiply(const Product& p) const override {
    constexpr int kRowMajor = 101, kPlain = 111, kTransposed = 112;
    const auto number = [](int64_t n) { return static_cast<int>(n); };
    sgemm_(kRowMajor, p.transposed_a ? kTransposed : kPlain, p.transposed_b ? kTransposed : kPlain,
           number(p.m), number(p.n), number(p.k), 1, p.a, number(p.a_row()), p.b, number(p.b_row()),
           0, p.c, number(p.n));
  }

 private:
  using Sgemm = void(int order, int trans_a, int trans_b, int m, int n, int k, float alpha,
                     const float* a, int lda, const float* b, int ldb, float beta, float* c,
                     int ldc);
  SharedLibrary library_{"libopenblas.so.0", "libopenblas.so"};
  Sgemm* sgemm_ = nullptr;
  std::string version_;
};

class OneDnn : public ProductPeer {
 public:
  explicit OneDnn(int threads) {
    library_.find<void(int)>("omp_set_num_threads")(threads);  // of the calling thread's products
    sgemm_ = library_.find<Sgemm>("dnnl_sgemm");
    const Version& v = *library_.find<const Version*()>("dnnl_version")();
    version_ = fmt::format("oneDNN {}.{}.{}", v.major, v.minor, v.patch);
  }
  std::string version() const override { return version_; }

 protected:
  void multiply(const Product& p) const override {
    const int status = sgemm_(p.transposed_a ? 'T' : 'N', p.transposed_b ? 'T' : 'N', p.m, p.n, p.k,
                              1, p.a, p.a_row(), p.b, p.b_row(), 0, p.c, p.n);
    if (status != 0) throw_error(fmt::format("dnnl_sgemm failed with status {}", status));
  }

 private:
  struct Version {
    int major, minor, patch;  // and more that is not read
  };
  using Sgemm = int(char trans_a, char trans_b, int64_t m, int64_t n, int64_t k, float alpha,
                    const float* a, int64_t lda, const float* b, int64_t ldb, float beta, float* c,
                    int64_t ldc);
  SharedLibrary library_{"libdnnl.so.3", "libdnnl.so.2", "libdnnl.so"};
  Sgemm* sgemm_ = nullptr;
  std::string version_;
};

}  // namespace

std::unique_ptr<Peer> open_openblas(int threads) { return std::make_unique<OpenBlas>(threads); }
std::unique_ptr<Peer> open_onednn(int threads) { return std::make_unique<OneDnn>(threads); }

}  // namespace cairn::app
