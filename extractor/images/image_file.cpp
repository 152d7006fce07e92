#include "extractor/images/image_file.h"

#include <cerrno>
#include <fcntl.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

#include "extractor/images/bad_image.h"

namespace last {
namespace {

// `what` failed, for the reason in errno.
[[noreturn]] void fail_or_bad(const std::string& what, const std::string& path) {
  const int code = errno;
  const std::string reason = std::generic_category().message(code);
  switch (code) {
    case ENOENT:
      throw BadImage("no such file");
    case ENOTDIR:
    case ELOOP:
    case ENAMETOOLONG:
    case EACCES:
      throw BadImage(concat("not a readable file: ", reason));
    default:
      fail("can't ", what, " the image \"", path, "\": ", reason,
           "; run the same command again once it can be read");
  }
}

class Descriptor {
 public:
  explicit Descriptor(int value) : value_(value) {}
  ~Descriptor() { ::close(value_); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int value() const { return value_; }

 private:
  int value_;
};

void require_regular(const struct stat& status) {
  if (S_ISDIR(status.st_mode)) throw BadImage("it is a folder");
  if (!S_ISREG(status.st_mode)) throw BadImage("not a regular file");
}

}  // namespace

std::vector<uint8_t> read_image_file(const std::string& path) {
  struct stat status {};
  // Before it is opened: that can wait for whoever writes into a pipe, and do things to a device.
  if (::stat(path.c_str(), &status) != 0) fail_or_bad("look at", path);
  require_regular(status);
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.value() < 0 || ::fstat(file.value(), &status) != 0) fail_or_bad("open", path);
  require_regular(status);
  if (status.st_size == 0) throw BadImage("the file is empty");
  if (status.st_size > INT32_MAX) throw BadImage("the file is larger than 2 GB");
  std::vector<uint8_t> bytes(static_cast<size_t>(status.st_size));
  for (size_t done = 0; done < bytes.size();) {
    const ssize_t count = ::read(file.value(), bytes.data() + done, bytes.size() - done);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail_or_bad("read", path);
    if (count == 0) throw BadImage("the file became shorter while it was read");
    done += static_cast<size_t>(count);
  }
  return bytes;
}

}  // namespace last
