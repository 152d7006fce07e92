#include "trainer/report/tensorboard/events.h"

#include "common/io/checksum.h"
#include "trainer/report/tensorboard/protobuf.h"

namespace last {
namespace {

void append_u32(std::string& out, uint32_t value) {
  for (int i = 0; i < 4; ++i) out += static_cast<char>(value >> (8 * i));
}

// A CRC of data that holds CRCs is of little use, so TFRecord rotates it and adds a constant.
uint32_t masked_crc(const std::string& bytes) {
  const uint32_t crc = crc32c(bytes.data(), bytes.size());
  return ((crc >> 15) | (crc << 17)) + 0xa282ead8U;
}

std::string framed(const ProtobufMessage& message) {
  const std::string& bytes = message.bytes();
  std::string length;
  append_u32(length, static_cast<uint32_t>(bytes.size()));
  append_u32(length, static_cast<uint32_t>(uint64_t{bytes.size()} >> 32));
  std::string record = length;
  append_u32(record, masked_crc(length));
  record += bytes;
  append_u32(record, masked_crc(bytes));
  return record;
}

// message Event { double wall_time = 1; int64 step = 2; string file_version = 3; Summary = 5; }
std::string event(double wall_time, int64_t step, const ProtobufMessage& summary) {
  ProtobufMessage message;
  message.add_double(1, wall_time).add_varint(2, static_cast<uint64_t>(step));
  return framed(message.add_message(5, summary));
}

// A Summary.Value of the plugin "hparams": its data lies in the metadata, beside an empty tensor.
std::string hparams_event(double wall_time, const std::string& tag, int data_field,
                          const ProtobufMessage& data) {
  constexpr int kFloat = 1;  // DT_FLOAT
  const ProtobufMessage empty_shape = ProtobufMessage().add_message(2, ProtobufMessage());
  const auto tensor = ProtobufMessage().add_varint(1, kFloat).add_message(2, empty_shape);
  const auto content = ProtobufMessage().add_message(data_field, data);
  const auto plugin = ProtobufMessage().add_bytes(1, "hparams").add_message(2, content);
  const auto metadata = ProtobufMessage().add_message(1, plugin);
  const auto value =
      ProtobufMessage().add_bytes(1, tag).add_message(9, metadata).add_message(8, tensor);
  return event(wall_time, 0, ProtobufMessage().add_message(1, value));
}

// google.protobuf.Value
ProtobufMessage json_value(const HyperparameterValue& value) {
  ProtobufMessage message;
  if (const auto* number = std::get_if<double>(&value)) {
    message.add_double(2, *number);
  } else if (const auto* flag = std::get_if<bool>(&value)) {
    message.add_varint(4, *flag ? 1 : 0);
  } else {
    message.add_bytes(3, std::get<std::string>(value));
  }
  return message;
}

// tensorboard.hparams.DataType
uint64_t data_type(const HyperparameterValue& value) {
  if (std::holds_alternative<std::string>(value)) return 1;
  return std::holds_alternative<bool>(value) ? 2 : 3;
}

}  // namespace

std::string version_record(double wall_time) {
  return framed(ProtobufMessage().add_double(1, wall_time).add_bytes(3, "brain.Event:2"));
}

std::string scalars_record(double wall_time, int64_t step,
                           const std::vector<std::pair<std::string, double>>& values) {
  ProtobufMessage summary;
  for (const auto& [tag, value] : values) {
    summary.add_message(
        1, ProtobufMessage().add_bytes(1, tag).add_float(2, static_cast<float>(value)));
  }
  return event(wall_time, step, summary);
}

std::string experiment_record(double wall_time, const Hyperparameters& examples,
                              const std::vector<std::string>& metrics) {
  ProtobufMessage experiment;
  experiment.add_double(3, wall_time);
  for (const auto& [name, value] : examples) {
    experiment.add_message(4, ProtobufMessage().add_bytes(1, name).add_varint(4, data_type(value)));
  }
  for (const auto& tag : metrics) {
    const auto name = ProtobufMessage().add_bytes(2, tag);
    experiment.add_message(5, ProtobufMessage().add_message(1, name));
  }
  return hparams_event(wall_time, "_hparams_/experiment", 2, experiment);
}

std::string session_start_record(double wall_time, const Hyperparameters& hyperparameters,
                                 const std::string& group) {
  ProtobufMessage start;
  for (const auto& [name, value] : hyperparameters) {
    start.add_message(1, ProtobufMessage().add_bytes(1, name).add_message(2, json_value(value)));
  }
  start.add_bytes(4, group).add_double(5, wall_time);
  return hparams_event(wall_time, "_hparams_/session_start_info", 3, start);
}

std::string session_end_record(double wall_time, bool success) {
  constexpr uint64_t kSuccess = 1;
  constexpr uint64_t kFailure = 2;
  const auto end =
      ProtobufMessage().add_varint(1, success ? kSuccess : kFailure).add_double(2, wall_time);
  return hparams_event(wall_time, "_hparams_/session_end_info", 4, end);
}

}  // namespace last
