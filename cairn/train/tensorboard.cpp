#include "cairn/train/tensorboard.h"

#include <array>
#include <bit>
#include <cstdint>

namespace cairn {
namespace {

constexpr std::array<uint32_t, 256> crc32c_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t c = i;
    for (int bit = 0; bit < 8; ++bit) c = c & 1 ? c >> 1 ^ 0x82f63b78u : c >> 1;
    table[i] = c;
  }
  return table;
}

// CRC-32C (Castagnoli), rotated and offset as TFRecord wants it.
uint32_t masked_crc(std::string_view bytes) {
  static constexpr auto kTable = crc32c_table();
  uint32_t c = ~uint32_t{0};
  for (const char byte : bytes) c = kTable[(c ^ static_cast<unsigned char>(byte)) & 255] ^ c >> 8;
  return std::rotl(~c, 17) + 0xa282ead8u;
}

template <class T>
void append_little_endian(std::string& out, T value) {
  for (size_t i = 0; i < sizeof value; ++i) out += static_cast<char>(value >> (8 * i) & 255);
}

void append_varint(std::string& out, uint64_t value) {
  for (; value >= 128; value >>= 7) out += static_cast<char>(value & 127 | 128);
  out += static_cast<char>(value);
}

// A field whose value is bytes: text or a message.
void append_bytes(std::string& out, int field, std::string_view bytes) {
  append_varint(out, static_cast<uint64_t>(field) << 3 | 2);
  append_varint(out, bytes.size());
  out += bytes;
}

void append_record(std::string& out, std::string_view event) {
  std::string length;
  append_little_endian(length, static_cast<uint64_t>(event.size()));
  out += length;
  append_little_endian(out, masked_crc(length));
  out += event;
  append_little_endian(out, masked_crc(event));
}

// wall_time = 1, step = 2.
std::string event_head(double wall_time, int64_t step) {
  std::string event = "\x09";
  append_little_endian(event, std::bit_cast<uint64_t>(wall_time));
  event += '\x10';
  append_varint(event, static_cast<uint64_t>(step));
  return event;
}

}  // namespace

std::string tensorboard_events(std::span<const Metrics> history) {
  std::string out;
  std::string first = event_head(history.empty() ? 0 : history.front().wall_time, 0);
  append_bytes(first, 3, "brain.Event:2");
  append_record(out, first);
  for (const Metrics& m : history) {
    std::string summary;
    const auto scalar = [&](std::string_view tag, double value) {
      std::string v;
      append_bytes(v, 1, tag);
      v += '\x15';  // simple_value = 2, a float
      append_little_endian(v, std::bit_cast<uint32_t>(static_cast<float>(value)));
      append_bytes(summary, 1, v);
    };
    scalar("loss", m.loss);
    if (m.validation_loss) scalar("val_loss", *m.validation_loss);
    if (m.validation_accuracy) scalar("val_accuracy", *m.validation_accuracy);
    scalar("lr", m.learning_rate);
    scalar("grad_norm", m.gradient_norm);
    if (m.items_per_second > 0) scalar("items_per_s", m.items_per_second);
    std::string event = event_head(m.wall_time, m.step);
    append_bytes(event, 5, summary);
    append_record(out, event);
  }
  return out;
}

}  // namespace cairn
