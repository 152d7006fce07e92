#include "common/feature_store/reserve.h"

#include <cerrno>
#include <fcntl.h>
#include <limits>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "common/error.h"

namespace last {
namespace {

// Bytes that may still be written by this user; the largest number where nobody knows.
uint64_t free_bytes(const File& file) {
  struct statvfs status {};
  if (::fstatvfs(file.descriptor(), &status) != 0 || status.f_blocks == 0) {
    return std::numeric_limits<uint64_t>::max();
  }
  return static_cast<uint64_t>(status.f_bavail) * status.f_frsize;
}

uint64_t allocated_bytes(const File& file) {
  struct stat status {};
  if (::fstat(file.descriptor(), &status) != 0) return 0;
  return static_cast<uint64_t>(status.st_blocks) * 512;
}

[[noreturn]] void fail_full(const File& file, uint64_t needed, uint64_t available) {
  fail("not enough space for \"", file.path(), "\": ", needed, " bytes needed, ", available,
       " bytes free, ", needed - available,
       " bytes missing; free them, choose another disk, or store fewer layers");
}

}  // namespace

void require_space(const File& file, uint64_t bytes) {
  const uint64_t available = free_bytes(file);
  if (bytes > available) fail_full(file, bytes, available);
}

void reserve_space(const File& file, uint64_t bytes) {
  if (bytes > static_cast<uint64_t>(std::numeric_limits<off_t>::max())) {
    fail("\"", file.path(), "\" would need ", bytes, " bytes: more than a file can hold");
  }
  int status = 0;
  do {
    status = ::fallocate(file.descriptor(), 0, 0, static_cast<off_t>(bytes));
  } while (status != 0 && errno == EINTR);
  if (status == 0) return;

  const int error = errno;
  const uint64_t allocated = allocated_bytes(file);
  const uint64_t needed = bytes > allocated ? bytes - allocated : 0;
  const uint64_t available = free_bytes(file);
  const bool unsupported = error == EOPNOTSUPP || error == ENOSYS || error == EINVAL;
  if ((unsupported || error == ENOSPC) && needed > available) fail_full(file, needed, available);
  if (!unsupported) {
    errno = error;
    fail_errno(concat("can't reserve ", needed, " bytes for \"", file.path(), "\""));
  }
  if (file.size() < bytes && ::ftruncate(file.descriptor(), static_cast<off_t>(bytes)) != 0) {
    fail_errno(concat("can't enlarge \"", file.path(), "\" to ", bytes, " bytes"));
  }
}

}  // namespace last
