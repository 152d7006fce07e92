#include "common/cli/live_block.h"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sys/ioctl.h>
#include <unistd.h>

namespace last {
namespace {

constexpr char kEraseToEnd[] = "\r\033[J";
// Lines with characters of double width could still wrap, and the next block would stand lower.
constexpr char kNoWrap[] = "\033[?7l";
constexpr char kWrap[] = "\033[?7h";

std::atomic<size_t> lines_shown{0};

struct TerminalSize {
  size_t rows = 24;
  size_t columns = 80;
};

TerminalSize terminal_size() {
  winsize size{};
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_row == 0 || size.ws_col == 0) {
    return {};
  }
  return {size.ws_row, size.ws_col};
}

}  // namespace

bool is_live_terminal() {
  const char* type = std::getenv("TERM");
  return isatty(STDERR_FILENO) != 0 && (type == nullptr || std::strcmp(type, "dumb") != 0);
}

std::string terminal_line(const std::string& text, size_t width) {
  std::string line;
  size_t characters = 0;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool continues = (byte & 0xC0) == 0x80;
    if (!continues && ++characters > width) break;
    line += byte < 0x20 || byte == 0x7F ? '?' : c;
  }
  return line;
}

std::string take_live_block() {
  const size_t lines = lines_shown.exchange(0);
  if (lines == 0) return "";
  const std::string up = lines > 1 ? "\033[" + std::to_string(lines - 1) + "A" : "";
  return up + kEraseToEnd;
}

void draw_live_block(const std::vector<std::string>& lines) {
  const auto size = terminal_size();
  const size_t count = std::min(lines.size(), std::max<size_t>(1, size.rows - 1));
  std::string text = take_live_block() + kNoWrap;
  for (size_t i = 0; i < count; ++i) {
    text += (i > 0 ? "\n" : "") + terminal_line(lines[i], size.columns);
  }
  std::fputs((text + kWrap).c_str(), stderr);
  lines_shown = count;
}

void keep_live_block() {
  if (lines_shown.exchange(0) > 0) std::fputs("\n", stderr);
}

void erase_live_block() { std::fputs(take_live_block().c_str(), stderr); }

}  // namespace last
