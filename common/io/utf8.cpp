#include "common/io/utf8.h"

#include <nlohmann/json.hpp>

namespace last {

bool is_utf8(const std::string& text) {
  try {
    nlohmann::json(text).dump();
    return true;
  } catch (const nlohmann::json::type_error&) {
    return false;
  }
}

}  // namespace last
