#pragma once

#include <string>
#include <vector>

namespace last {

// Lines at the bottom of the terminal that are drawn over themselves again and again. There is one
// such block per process; messages (log.h) go above it.

// Whether standard error is a terminal that can do so.
bool is_live_terminal();

// Draws the block anew. Lines are cut to the terminal's width, the block to its height; control
// characters, which names of data may hold, are shown as '?'.
void draw_live_block(const std::vector<std::string>& lines);

// Leaves the block where it is; what follows goes below.
void keep_live_block();

// Removes the block from the screen.
void erase_live_block();

// Text that removes the block when it is printed, for messages that go in its place. The block is
// taken as removed. Empty where there is none.
std::string take_live_block();

// `text` cut to `width` characters of UTF-8, without control characters.
std::string terminal_line(const std::string& text, size_t width);

}  // namespace last
