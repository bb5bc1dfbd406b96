// cairn inspect --activations: what a layer of an image classifier makes of one picture, as pixels.
#include <fmt/format.h>

#include <cstring>

#include "apps/cairn/inspect.h"
#include "apps/cairn/model_files.h"
#include "cairn/io/idx.h"
#include "cairn/io/image.h"
#include "cairn/plot/pixels.h"
#include "cairn/transforms/precision.h"

namespace cairn::app {
namespace {

// u8 [channels, height, width] of a picture file, or the first one of an IDX file.
HostArray read_picture(const std::string& path, const Shape& wanted) {
  const io::FileProbe probe = io::probe_file(path).value();
  HostArray pixels;
  if (probe.kind == io::FileKind::idx) {
    const HostArray all = io::read_idx(path).value();
    const Shape& shape = all.shape();
    // [N, height, width] or [N, channels, height, width], as in training.
    if (all.dtype() != DType::u8 || shape.rank() < 3 || shape.rank() > 4 || shape[0] == 0)
      throw_error(
          fmt::format("'{}' holds no pictures: {}{}; expected u8 [N, height, width] or [N, "
                      "channels, height, width]",
                      path, name(all.dtype()), to_string(shape)));
    const Shape first =
        shape.rank() == 3 ? Shape{1, shape[1], shape[2]} : Shape{shape[1], shape[2], shape[3]};
    pixels = HostArray(DType::u8, first, all.owner(), all.data());
  } else {
    io::ImageOptions options;
    options.channels = wanted[0] == 1 ? 1 : 3;
    const HostArray rows = io::read_image(path, options).value();  // [height, width, channels]
    const Shape& shape = rows.shape();
    pixels = HostArray(DType::u8, {shape[2], shape[0], shape[1]});
    const auto in = rows.span<uint8_t>();
    const auto out = pixels.mutable_span<uint8_t>();
    const auto area = static_cast<size_t>(shape[0] * shape[1]),
               channels = static_cast<size_t>(shape[2]);
    for (size_t c = 0; c < channels; ++c)
      for (size_t i = 0; i < area; ++i) out[c * area + i] = in[i * channels + c];
  }
  if (pixels.shape() != wanted)
    throw_error(fmt::format("'{}' is a picture of {} (channels, height, width); the model takes {}",
                            path, to_string(pixels.shape()), to_string(wanted)));
  return pixels;
}

// As in training: pixels / 255, less the training pictures' mean, over their deviation.
Tensor normalised(const HostArray& pixels, const ClassifierConfig& config) {
  const Shape& image = config.image;
  HostArray result(DType::f32, {1, image[0], image[1], image[2]});
  const auto out = result.mutable_span<float>();
  const auto in = pixels.span<uint8_t>();
  const auto scale = static_cast<float>(1 / (255 * config.deviation));
  const auto shift = static_cast<float>(config.mean / config.deviation);
  for (size_t i = 0; i < in.size(); ++i) out[i] = static_cast<float>(in[i]) * scale - shift;
  return Tensor(result);
}

}  // namespace

int show_activations(const std::string& model_path, const std::string& layer,
                     const std::string& input, const std::optional<std::string>& out,
                     Session& session) {
  const auto model = load_classifier(model_path);
  if (!model)
    throw_error(
        fmt::format("'{}' is no image classifier that cairn train wrote; this version shows the "
                    "activations of those",
                    model_path));
  const auto runtime = session.make_computing_runtime();
  Context ctx;
  const Tensor x = normalised(read_picture(input, model->config().image), model->config());
  const Tensor activations = model->activations(ctx, x, layer);
  const HostArray values =
      eval(*runtime, with_precision(std::span(&activations, 1), session.precision())[0]).host();
  if (out) io::write_png(*out, plot::activations_to_image(values)).value();
  const Shape& shape = values.shape();
  if (session.common.json) {
    Json result = {{"layer", layer},
                   {"dtype", "f32"},
                   {"shape", std::vector<int64_t>(shape.begin(), shape.end())}};
    if (out) result["out"] = *out;
    print_json(session.out, result);
    return 0;
  }
  session.out.line(fmt::format("{} of {}: {}{}", session.out_terminal.bold(layer), input,
                               name(values.dtype()), to_string(shape)));
  session.out.write(
      plot::activations_to_text(values, plot::ColorMap::gray, session.out_terminal.style(120, 40)));
  session.note("bright: \"yes, I know this\"; dark: the opposite; blank: nothing to say");
  if (out) session.note(fmt::format("the picture is in {}", *out));
  return 0;
}

}  // namespace cairn::app
