#pragma once

#include <bit>
#include <cstdint>
#include <string>
#include <string_view>

namespace last {

// A protocol buffer message on the wire (https://protobuf.dev/programming-guides/encoding): each
// field is a varint number * 8 + wire type, then its value. Fields are written in the order of the
// calls; equal numbers make repeated fields.
class ProtobufMessage {
 public:
  // int64, int32, enum and bool.
  ProtobufMessage& add_varint(int field, uint64_t value) {
    append_varint(static_cast<uint64_t>(field) << 3);
    append_varint(value);
    return *this;
  }
  ProtobufMessage& add_double(int field, double value) {
    append_varint(static_cast<uint64_t>(field) << 3 | 1);
    append_little_endian(std::bit_cast<uint64_t>(value), 8);
    return *this;
  }
  // string, bytes and messages.
  ProtobufMessage& add_bytes(int field, std::string_view value) {
    append_varint(static_cast<uint64_t>(field) << 3 | 2);
    append_varint(value.size());
    bytes_.append(value);
    return *this;
  }
  ProtobufMessage& add_message(int field, const ProtobufMessage& value) {
    return add_bytes(field, value.bytes_);
  }
  ProtobufMessage& add_float(int field, float value) {
    append_varint(static_cast<uint64_t>(field) << 3 | 5);
    append_little_endian(std::bit_cast<uint32_t>(value), 4);
    return *this;
  }

  const std::string& bytes() const { return bytes_; }

 private:
  void append_varint(uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_ += static_cast<char>(value | 0x80);
    bytes_ += static_cast<char>(value);
  }
  void append_little_endian(uint64_t value, int size) {
    for (int i = 0; i < size; ++i) bytes_ += static_cast<char>(value >> (8 * i));
  }

  std::string bytes_;
};

}  // namespace last
