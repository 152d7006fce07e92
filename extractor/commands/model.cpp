#include <iostream>

#include "common/cli/option_parser.h"
#include "common/cli/program.h"
#include "extractor/backbone/load.h"
#include "extractor/commands/commands.h"
#include "extractor/commands/image_options.h"
#include "extractor/commands/json_text.h"

namespace last {
namespace {

void print_entries(const nlohmann::json& report, const char* key, const char* title) {
  const auto found = report.find(key);
  if (found == report.end() || found->empty()) return;
  std::cout << title << "\n";
  for (const nlohmann::json& entry : *found) {
    std::cout << "  "
              << (entry.contains("what")   ? json_text(entry["what"])
                  : entry.contains("name") ? json_text(entry["name"])
                                           : json_text(entry));
    if (entry.contains("value")) std::cout << " = " << json_text(entry["value"]);
    if (entry.contains("assumed") && entry["assumed"] == true) std::cout << "  ASSUMED";
    if (entry.contains("source")) std::cout << "  (" << json_text(entry["source"]) << ")";
    if (entry.contains("reason")) std::cout << ": " << json_text(entry["reason"]);
    if (entry.contains("option")) std::cout << "  [" << json_text(entry["option"]) << "]";
    std::cout << "\n";
  }
}

void print_report(const nlohmann::json& report) {
  std::cout << json_text(report["path"]) << "\nfamily " << json_text(report["family"]) << "\n";
  for (const auto& item : report["config"].items()) {
    std::cout << "  " << item.key() << " = " << json_text(item.value()) << "\n";
  }
  print_entries(report, "decided", "Decided (what, by what, the option that changes it)");
  print_entries(report, "undecided", "Undecided (give the option in brackets)");
  print_entries(report, "ignored", "Ignored tensors");
  print_entries(report, "notes", "Notes");
}

}  // namespace

int extractor_model(const std::vector<std::string>& arguments) {
  OptionParser parser("extractor model", "says what a checkpoint is recognised as");
  ModelOptions options;
  options.add(parser);
  bool json = false;
  add_json_option(parser, &json);
  if (!parser.parse(arguments)) return kExitDone;
  const nlohmann::json report = describe_backbone(options.resolve());
  if (json) {
    print_json(report);
  } else {
    print_report(report);
  }
  return kExitDone;
}

}  // namespace last
