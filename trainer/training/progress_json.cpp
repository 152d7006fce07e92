#include "trainer/training/progress_json.h"

#include "common/io/json_integer.h"
#include "trainer/training/json_number.h"

namespace last {

nlohmann::json to_json(const NetworkProgress& n) {
  return {{"status", to_string(n.status)},
          {"loss_sum", json_number(n.loss_sum)},
          {"correct", n.correct},
          {"labelled", n.labelled},
          {"train_loss", json_number(n.train_loss)},
          {"train_accuracy", json_number(n.train_accuracy)},
          {"val_accuracy", json_number(n.val_accuracy)},
          {"val_loss", json_number(n.val_loss)},
          {"test_accuracy", json_number(n.test_accuracy)},
          {"seconds", json_number(n.seconds)}};
}

NetworkProgress progress_from_json(const nlohmann::json& json) {
  NetworkProgress n;
  n.status = parse_network_status(json.at("status").get<std::string>());
  n.loss_sum = number_from_json(json.at("loss_sum"));
  n.correct = json_integer(json.at("correct"));
  n.labelled = json_integer(json.at("labelled"));
  n.train_loss = number_from_json(json.at("train_loss"));
  n.train_accuracy = number_from_json(json.at("train_accuracy"));
  n.val_accuracy = number_from_json(json.at("val_accuracy"));
  n.val_loss = number_from_json(json.at("val_loss"));
  n.test_accuracy = number_from_json(json.at("test_accuracy"));
  n.seconds = number_from_json(json.at("seconds"));
  return n;
}

}  // namespace last
