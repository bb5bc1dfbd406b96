// Event files, taken apart by the formats' own rules; tools/check_tensorboard.py reads one with
// TensorBoard itself.
#include "cairn/train/tensorboard.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cstring>
#include <map>

namespace cairn {
namespace {

// CRC-32C bit by bit: polynomial 0x1EDC6F41, reflected.
uint32_t crc32c(std::string_view bytes) {
  uint32_t crc = ~uint32_t{0};
  for (const char byte : bytes) {
    crc ^= static_cast<unsigned char>(byte);
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
  }
  return ~crc;
}
uint32_t masked(uint32_t crc) { return (crc >> 15 | crc << 17) + 0xa282ead8u; }

template <class T>
T take(std::string_view& bytes) {
  T value;
  EXPECT_GE(bytes.size(), sizeof value);
  std::memcpy(&value, bytes.data(), sizeof value);
  bytes.remove_prefix(sizeof value);
  return value;
}
uint64_t take_varint(std::string_view& bytes) {
  uint64_t value = 0;
  for (int shift = 0; !bytes.empty(); shift += 7) {
    const auto byte = take<uint8_t>(bytes);
    value |= static_cast<uint64_t>(byte & 127) << shift;
    if (byte < 128) break;
  }
  return value;
}

// A protobuf message by field number: numbers as bits, texts and messages as bytes.
struct Message {
  std::map<uint64_t, uint64_t> numbers;
  std::multimap<uint64_t, std::string_view> bytes;
};
Message parse(std::string_view text) {
  Message m;
  while (!text.empty()) {
    const uint64_t key = take_varint(text);
    switch (key & 7) {
      case 0: m.numbers[key >> 3] = take_varint(text); break;
      case 1: m.numbers[key >> 3] = take<uint64_t>(text); break;
      case 5: m.numbers[key >> 3] = take<uint32_t>(text); break;
      default: {
        const uint64_t size = take_varint(text);
        m.bytes.emplace(key >> 3, text.substr(0, size));
        text.remove_prefix(std::min<size_t>(size, text.size()));
      }
    }
  }
  return m;
}

TEST(TensorBoard, RecordsHoldTheMetrics) {
  EXPECT_EQ(crc32c("123456789"), 0xe3069283u);  // the check value of CRC-32C
  Metrics first, second;
  first.step = 10;
  first.loss = 2.5;
  first.learning_rate = 0.125;
  first.gradient_norm = 3;
  first.wall_time = 1.5e9;
  second = first;
  second.step = 300;  // two bytes of a varint
  second.validation_loss = 2.25;
  second.validation_accuracy = 0.5;
  second.items_per_second = 1024;
  const std::string file = tensorboard_events(std::vector<Metrics>{first, second});
  std::vector<Message> events;
  for (std::string_view rest = file; !rest.empty();) {
    const std::string_view length = rest.substr(0, 8);
    const auto size = take<uint64_t>(rest);
    EXPECT_EQ(take<uint32_t>(rest), masked(crc32c(length)));
    ASSERT_LE(size, rest.size());
    const std::string_view event = rest.substr(0, size);
    rest.remove_prefix(size);
    EXPECT_EQ(take<uint32_t>(rest), masked(crc32c(event)));
    events.push_back(parse(event));
  }
  ASSERT_EQ(events.size(), 3u);
  EXPECT_EQ(events[0].bytes.find(3)->second, "brain.Event:2");
  const auto scalars = [](const Message& event) {
    std::map<std::string, double> values;
    const Message summary = parse(event.bytes.find(5)->second);
    for (const auto& [field, text] : summary.bytes) {
      EXPECT_EQ(field, 1u);
      const Message value = parse(text);
      values[std::string(value.bytes.find(1)->second)] =
          std::bit_cast<float>(static_cast<uint32_t>(value.numbers.at(2)));
    }
    return values;
  };
  EXPECT_EQ(std::bit_cast<double>(events[1].numbers[1]), 1.5e9);
  EXPECT_EQ(events[1].numbers[2], 10u);
  EXPECT_EQ(scalars(events[1]),
            (std::map<std::string, double>{{"loss", 2.5}, {"lr", 0.125}, {"grad_norm", 3}}));
  EXPECT_EQ(events[2].numbers[2], 300u);
  EXPECT_EQ(scalars(events[2]), (std::map<std::string, double>{{"loss", 2.5},
                                                               {"val_loss", 2.25},
                                                               {"val_accuracy", 0.5},
                                                               {"lr", 0.125},
                                                               {"grad_norm", 3},
                                                               {"items_per_s", 1024}}));
}

}  // namespace
}  // namespace cairn
