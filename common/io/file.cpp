#include "common/io/file.h"

#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <filesystem>
#include <limits>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

#include "common/error.h"

namespace last {
namespace {

int open_descriptor(const std::string& path, int flags, const char* what) {
  const int descriptor = ::open(path.c_str(), flags | O_CLOEXEC, 0666);
  if (descriptor < 0) fail_errno(concat("can't ", what, " \"", path, "\""));
  return descriptor;
}

}  // namespace

File::File(int descriptor, std::string path) : descriptor_(descriptor), path_(std::move(path)) {}

File::~File() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

File::File(File&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)), path_(std::move(other.path_)) {}

File& File::operator=(File&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  std::swap(path_, other.path_);
  return *this;
}

File File::open_read(const std::string& path) {
  // A pipe would be waited for, and has no size; nothing here could stop that.
  File file(open_descriptor(path, O_RDONLY | O_NONBLOCK, "open"), path);
  struct stat status {};
  if (fstat(file.descriptor_, &status) != 0) fail_errno(concat("can't stat \"", path, "\""));
  if (S_ISDIR(status.st_mode)) fail("can't read \"", path, "\": it is a folder");
  if (!S_ISREG(status.st_mode)) fail("can't read \"", path, "\": it is not a regular file");
  return file;
}

File File::open_read_write(const std::string& path) {
  return File(open_descriptor(path, O_RDWR, "open for writing"), path);
}

File File::create(const std::string& path) {
  return File(open_descriptor(path, O_RDWR | O_CREAT | O_TRUNC, "create"), path);
}

uint64_t File::size() const {
  struct stat status {};
  if (fstat(descriptor_, &status) != 0) fail_errno(concat("can't stat \"", path_, "\""));
  return static_cast<uint64_t>(status.st_size);
}

void File::read_at(void* data, size_t size, uint64_t offset) const {
  auto* bytes = static_cast<char*>(data);
  while (size > 0) {
    const ssize_t count = ::pread(descriptor_, bytes, size, static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail_errno(concat("can't read ", size, " bytes of \"", path_, "\" at ", offset));
    if (count == 0) {
      fail("\"", path_, "\" is truncated: ", size, " more bytes expected at offset ", offset);
    }
    bytes += count;
    offset += static_cast<uint64_t>(count);
    size -= static_cast<size_t>(count);
  }
}

void File::write_at(const void* data, size_t size, uint64_t offset) const {
  const auto* bytes = static_cast<const char*>(data);
  while (size > 0) {
    ssize_t count = ::pwrite(descriptor_, bytes, size, static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count == 0) {  // no file system should, but this must end
      errno = ENOSPC;
      count = -1;
    }
    if (count < 0) {
      fail_errno(concat("can't write ", size, " bytes to \"", path_, "\" at ", offset));
    }
    bytes += count;
    offset += static_cast<uint64_t>(count);
    size -= static_cast<size_t>(count);
  }
}

void File::will_need(uint64_t offset, uint64_t size) const {
  ::posix_fadvise(descriptor_, static_cast<off_t>(offset), static_cast<off_t>(size),
                  POSIX_FADV_WILLNEED);
}

void File::start_writing(uint64_t offset, uint64_t size) const {
  ::sync_file_range(descriptor_, static_cast<off_t>(offset), static_cast<off_t>(size),
                    SYNC_FILE_RANGE_WRITE);
}

void File::sync() const {
  if (::fdatasync(descriptor_) != 0) fail_errno(concat("can't sync \"", path_, "\""));
}

void File::close() {
  const int descriptor = std::exchange(descriptor_, -1);
  if (descriptor >= 0 && ::close(descriptor) != 0) {
    fail_errno(concat("can't close \"", path_, "\""));
  }
}

bool File::is_at_its_path() const {
  struct stat here {
  }, there{};
  if (::stat(path_.c_str(), &there) != 0) return errno != ENOENT && errno != ENOTDIR;
  if (::fstat(descriptor_, &here) != 0) return true;
  return here.st_ino == there.st_ino && here.st_dev == there.st_dev;
}

bool File::try_lock() const {
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  lock.l_start = std::numeric_limits<off_t>::max() - 1;
  lock.l_len = 1;
  if (::fcntl(descriptor_, F_OFD_SETLK, &lock) == 0) return true;
  return errno != EAGAIN && errno != EACCES;
}

FileLock::FileLock(const std::string& path) {
  // Not File::create: emptying is harmless, but a reader of the folder sees its time change.
  if (!std::filesystem::exists(path)) File::create(path);
  file_ = File::open_read_write(path);
  if (::flock(file_.descriptor(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) {
      fail("\"", path, "\" is locked: another process is writing there; wait for it or stop it");
    }
    fail_errno(concat("can't lock \"", path, "\""));
  }
}

std::string read_text_file(const std::string& path) {
  const File file = File::open_read(path);
  std::string text(file.size(), '\0');
  file.read_at(text.data(), text.size(), 0);
  return text;
}

void write_file_atomically(const std::string& path, const std::string& bytes) {
  const std::string temporary = path + ".tmp";
  File file = File::create(temporary);
  try {
    file.write_at(bytes.data(), bytes.size(), 0);
    file.sync();
    file.close();
    publish_file(temporary, path);
  } catch (...) {
    std::remove(temporary.c_str());  // its space may be needed
    throw;
  }
}

void sync_parent_folder(const std::string& path) {
  auto folder = std::filesystem::path(path).parent_path();
  if (folder.empty()) folder = ".";
  const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) fail_errno(concat("can't open folder \"", folder.string(), "\""));
  const int error = ::fsync(descriptor) == 0 ? 0 : errno;
  ::close(descriptor);
  // Some network file systems refuse it on folders; the rename stands.
  if (error == 0 || error == EINVAL || error == ENOTSUP) return;
  errno = error;
  fail_errno(concat("can't sync folder \"", folder.string(), "\""));
}

void publish_file(const std::string& temporary, const std::string& path) {
  if (std::rename(temporary.c_str(), path.c_str()) != 0) {
    fail_errno(concat("can't rename \"", temporary, "\" to \"", path, "\""));
  }
  sync_parent_folder(path);
}

}  // namespace last
