#pragma once

#include <cstdint>
#include <string>

namespace last {

// --model NAME, where NAME is a timm architecture's. A typo must not decide anything, so all parts
// of the name have to be known ("vit", "tiny", "patch16", "224"; what follows a dot is not looked
// at); a UsageError with the nearest known name for others.
void check_model_name(const std::string& name);

// A UsageError where no published model of this name has so many channels and blocks.
void check_model_size(const std::string& name, int64_t dim, int64_t depth);

}  // namespace last
