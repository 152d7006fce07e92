#pragma once

#include <string>

#include "common/labels/list_rows.h"

namespace last {

// `text` is the file's content without a byte order mark; `folder` is where relative paths start.
ListRows read_plain_rows(const std::string& source, const std::string& text,
                         const std::string& folder);
// What has an image's extension and is no folder, readable or not.
ListRows read_folder_rows(const std::string& folder);

// ".jpg" of "a.b/c.JPG"
std::string lower_extension(const std::string& path);

// `folder`/`id`, or `id` where that is absolute.
std::string resolve_path(const std::string& folder, const std::string& id);

}  // namespace last
