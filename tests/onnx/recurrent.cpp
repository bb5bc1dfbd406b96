// Recurrent layers as scans over time.
#include <array>

#include "tests/onnx/operators.h"

namespace cairn::test {

namespace {

// What the three layers share. x [time, batch, input], weights of one direction [gates * hidden,
// ...], both biases added up.
struct Layer {
  Tensor x, input_weight, hidden_weight, bias;
  int64_t hidden;
  bool batch_first;

  Layer(const OnnxCall& c, int gates) {
    if (c.text("direction", "forward") != "forward" || c.has_attribute("activations") ||
        c.has_attribute("clip"))
      throw Unsupported("a recurrent layer of another direction, activation or with clipping");
    batch_first = c.integer("layout", 0);
    hidden = c.integer("hidden_size", 0);
    x = batch_first ? swapaxes(c[0], 0, 1) : c[0];
    if (c.has(4))
      for (const int64_t length : c.constants(4))
        if (length != x.size(0)) throw Unsupported("sequences of different lengths");
    input_weight = reshape(c[1], {gates * hidden, -1});
    hidden_weight = reshape(c[2], {gates * hidden, hidden});
    bias = zeros({2, gates * hidden}, x.dtype());
    if (c.has(3)) bias = reshape(c[3], {2, gates * hidden});
  }
  Tensor initial(const OnnxCall& c, int operand) const {
    const Shape shape{x.size(1), hidden};
    if (!c.has(operand)) return zeros(shape, x.dtype());
    return reshape(c[operand], shape);
  }
  // Part `i` of a vector of gates along the last axis.
  Tensor gate(const Tensor& gates, int i) const {
    return slice_axis(gates, -1, i * hidden, (i + 1) * hidden);
  }
  Tensor from_input(const Tensor& row) const {
    return matmul(row, transpose(input_weight)) + slice(bias, {0});
  }
  // Y [time, direction, batch, hidden] and the last state [direction, batch, hidden], or with the
  // batch in front.
  std::vector<Tensor> results(const Tensor& states, const Tensor& last) const {
    if (batch_first) return {expand_dims(swapaxes(states, 0, 1), 2), expand_dims(last, 1)};
    return {expand_dims(states, 1), expand_dims(last, 0)};
  }
};

std::vector<Tensor> rnn(const OnnxCall& c) {
  const Layer layer(c, 1);
  const Step step = scan({layer.initial(c, 5)}, {layer.x}, [&](auto carried, auto rows) -> Step {
    const Tensor h =
        tanh(layer.from_input(rows[0]) + matmul(carried[0], transpose(layer.hidden_weight)) +
             slice(layer.bias, {1}));
    return {{h}, {h}};
  });
  return layer.results(step.stacked[0], step.carried[0]);
}

// Gates: update, reset, candidate.
std::vector<Tensor> gru(const OnnxCall& c) {
  const Layer layer(c, 3);
  if (c.integer("linear_before_reset", 0)) throw Unsupported("linear_before_reset");
  const Step step = scan({layer.initial(c, 5)}, {layer.x}, [&](auto carried, auto rows) -> Step {
    const Tensor& h = carried[0];
    const Tensor in = layer.from_input(rows[0]) + slice(layer.bias, {1});
    const Tensor from_state = matmul(h, transpose(layer.hidden_weight));
    const Tensor update = sigmoid(layer.gate(in, 0) + layer.gate(from_state, 0));
    const Tensor reset = sigmoid(layer.gate(in, 1) + layer.gate(from_state, 1));
    const Tensor weight = slice_axis(layer.hidden_weight, 0, 2 * layer.hidden, 3 * layer.hidden);
    const Tensor candidate = tanh(layer.gate(in, 2) + matmul(reset * h, transpose(weight)));
    const Tensor next = (1 - update) * candidate + update * h;
    return {{next}, {next}};
  });
  return layer.results(step.stacked[0], step.carried[0]);
}

// Gates: input, output, forget, cell. Peepholes let the first three see the cell.
std::vector<Tensor> lstm(const OnnxCall& c) {
  const Layer layer(c, 4);
  const Tensor peepholes =
      c.has(7) ? reshape(c[7], {3 * layer.hidden}) : zeros({3 * layer.hidden}, layer.x.dtype());
  const Step step = scan(
      {layer.initial(c, 5), layer.initial(c, 6)}, {layer.x}, [&](auto carried, auto rows) -> Step {
        const Tensor& cell = carried[1];
        const Tensor gates = layer.from_input(rows[0]) +
                             matmul(carried[0], transpose(layer.hidden_weight)) +
                             slice(layer.bias, {1});
        const Tensor input = sigmoid(layer.gate(gates, 0) + layer.gate(peepholes, 0) * cell);
        const Tensor forget = sigmoid(layer.gate(gates, 2) + layer.gate(peepholes, 2) * cell);
        const Tensor next = forget * cell + input * tanh(layer.gate(gates, 3));
        const Tensor output = sigmoid(layer.gate(gates, 1) + layer.gate(peepholes, 1) * next);
        const Tensor h = output * tanh(next);
        return {{h, next}, {h}};
      });
  std::vector<Tensor> results = layer.results(step.stacked[0], step.carried[0]);
  results.push_back(expand_dims(step.carried[1], layer.batch_first ? 1 : 0));
  return results;
}

}  // namespace

void add_recurrent(OnnxTable& table) {
  table["RNN"] = rnn;
  table["GRU"] = gru;
  table["LSTM"] = lstm;
}

}  // namespace cairn::test
