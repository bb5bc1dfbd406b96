// Tensors: matrices as linear maps, a graph's adjacency matrix and its powers, a picture of uint8.
#include <cairn/cairn.h>
#include <cairn/io/image.h>
#include <cairn/plot/pixels.h>

#include <unistd.h>

#include <cmath>
#include <cstdio>

using namespace cairn;

void show(const char* title, const Tensor& t) {
  std::printf("%s\n%s\n\n", title, to_string(t).c_str());
}

int main(int argc, char** argv) {
  Runtime runtime;

  // A product: data on the left of functions. Order matters.
  const Tensor a = Tensor::from<int32_t>({1, 2, 3, 4, 5, 6}, {2, 3});
  show("A (2 x 3)", a);
  show("A times the column (7, 8, 9)",
       eval(runtime, matmul(a, Tensor::from<int32_t>({7, 8, 9}, {3}))));

  // A rotation is a linear map: its matrix applied four times by 90 degrees is the identity.
  const float s = static_cast<float>(std::sin(M_PI / 2)),
              c = static_cast<float>(std::cos(M_PI / 2));
  const Tensor rotation = Tensor::from<float>({c, -s, s, c}, {2, 2});
  const Tensor twice = matmul(rotation, rotation);
  show("A corner (1, 0) turned by 90 degrees",
       eval(runtime, round(matmul(rotation, Tensor::from<float>({1, 0}, {2})))));
  show("Four turns", eval(runtime, round(matmul(twice, twice))));

  // Who links to whom; element (i, j) of the k-th power counts the walks of k links from i to j.
  const Tensor links =
      Tensor::from<int32_t>({0, 1, 1, 0, 0, 0, 1, 0, 0, 0, 0, 1, 1, 0, 0, 0}, {4, 4});
  Tensor power = links;
  for (int k = 1; k <= 3; ++k) {
    std::printf("walks of %d link%s\n%s\n\n", k, k == 1 ? "" : "s",
                to_string(eval(runtime, power)).c_str());
    power = matmul(power, links);
  }

  // A picture is a tensor [height, width, channel] of uint8: two waves, and a disc that inverts
  // them.
  const Tensor row = iota({48, 96}, 0, DType::f32) / 48.0,
               column = iota({48, 96}, 1, DType::f32) / 96.0;
  const Tensor red = sin(column * 12.0) * 0.5 + 0.5, green = sin(row * 9.0) * 0.5 + 0.5;
  const Tensor inside = square(row - 0.5) + square(column - 0.5) * 4.0 < 0.12;
  const std::vector<Tensor> channels{where(inside, 1.0 - red, red),
                                     where(inside, 1.0 - green, green), row};
  const Tensor picture = eval(runtime, cast(stack(channels, 2) * 255.0, DType::u8));
  const plot::TerminalStyle style{.width = 96, .height = 24, .color = isatty(STDOUT_FILENO) == 1};
  std::printf("a picture: %s\n%s", to_string(picture.type()).c_str(),
              plot::image_to_text(picture.host(), style).c_str());
  if (argc > 1) io::write_png(argv[1], picture.host()).value();
}
