#pragma once

#include <string>
#include <vector>

namespace last {

// The commands of `extractor`; each returns an exit status (common/cli/program.h).
int extractor_run(const std::vector<std::string>& arguments);
int extractor_evaluate(const std::vector<std::string>& arguments);
int extractor_model(const std::vector<std::string>& arguments);
int extractor_inspect(const std::vector<std::string>& arguments);
int extractor_verify(const std::vector<std::string>& arguments);

}  // namespace last
