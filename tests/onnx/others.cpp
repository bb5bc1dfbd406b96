// What belongs to no family, and why the rest of ONNX's operators is not in the table.
#include <cmath>
#include <numbers>

#include "cairn/io/image.h"
#include "tests/onnx/operators.h"

namespace cairn::test {

namespace {

// a - b cos(2 pi i / n) + c cos(4 pi i / n); n is the size, less one for a symmetric window.
OnnxBuilder window(double a, double b, double c2) {
  return one([=](const OnnxCall& c) {
    const auto size = static_cast<int64_t>(c.constant(0));
    const DType dtype = dtype_of_onnx(c.integer("output_datatype", 1));
    const double n = static_cast<double>(c.integer("periodic", 1) ? size : size - 1);
    const Tensor angle = arange(size, dtype) * (2 * std::numbers::pi / n);
    return a - b * cos(angle) + c2 * cos(angle * 2);
  });
}

Tensor decode_image_of(const OnnxCall& c) {
  const std::string format = c.text("pixel_format", "RGB");
  const HostArray file = c.values(c[0]);
  const std::span<const std::byte> bytes = io::bytes_of(file);
  if (!io::is_png(bytes) && !io::is_jpeg(bytes) && !io::is_pnm(bytes))
    throw Unsupported("cairn reads PNG, JPEG and PNM pictures");
  if (format == "BGR") throw Unsupported("cairn gives no pictures in BGR order");
  return Tensor(
      io::decode_image(bytes, "case", {.channels = format == "Grayscale" ? 1 : 3}).value());
}

}  // namespace

void add_others(OnnxTable& table) {
  table["HammingWindow"] = window(25.0 / 46, 21.0 / 46, 0);
  table["BlackmanWindow"] = window(0.42, 0.5, 0.08);
  table["Binarizer"] =
      one([](const OnnxCall& c) { return cast(c[0] > c.number("threshold", 0), c[0].dtype()); });
  table["ImageDecoder"] = one(decode_image_of);
}

std::string why_no_onnx_operator(const std::string& op) {
  static const std::map<std::string, std::string> reasons = {
      {"AffineGrid", "cairn has no sampling grids"},
      {"GridSample", "cairn has no sampling grids"},
      {"RoiAlign", "cairn has no sampling of regions"},
      {"NonMaxSuppression", "cairn has no selection of boxes"},
      {"DeformConv", "cairn has no deformable convolution"},
      {"Resize", "cairn has no interpolation of pictures"},
      {"Bernoulli", "random numbers of another generator"},
      {"RandomUniformLike", "random numbers of another generator"},
      {"BitCast", "cairn has no reinterpretation of bits"},
      {"DFT", "cairn has no complex numbers"},
      {"STFT", "cairn has no complex numbers"},
      {"LinearAttention", "cairn has no linear attention; its definition runs"},
      {"RotaryEmbedding", "angles from a table; cairn's are positions times frequencies"},
      {"LabelEncoder", "cairn has no lookup of arbitrary keys"},
      {"TreeEnsemble", "cairn has no decision trees"},
      {"TfIdfVectorizer", "cairn has no counting of n-grams"},
      {"RegexFullMatch", "cairn has no strings"},
      {"StringConcat", "cairn has no strings"},
      {"StringNormalizer", "cairn has no strings"},
      {"StringSplit", "cairn has no strings"}};
  const auto it = reasons.find(op);
  if (it != reasons.end()) return it->second;
  if (op.starts_with("Sequence") || op.starts_with("Optional") || op.starts_with("SplitToSequence"))
    return "cairn has no sequences and optional values";
  return "nobody has put " + op + " into the table";
}

}  // namespace cairn::test
