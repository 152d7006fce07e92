/* Preloaded into a program under test: the system's calls fail for some files, as those of a full
 * disk or of a network file system do at times. FAULT="CALL ERRNO SKIP COUNT NAME[;..]": of the calls
 * CALL that concern a file whose path ends in NAME, the first SKIP succeed and the next COUNT fail.
 * Of rename, the old name counts. A negative ERRNO is a time in milliseconds by which a call is late.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

enum { MOST_FAULTS = 4 };
static atomic_int seen[MOST_FAULTS];

static int fails(const char *call, const char *path) {
  const char *fault = getenv("FAULT");
  for (int i = 0; fault && i < MOST_FAULTS; ++i) {
    char wanted[16], name[256];
    int code, skip, count;
    if (sscanf(fault, "%15s %d %d %d %255[^;]", wanted, &code, &skip, &count, name) != 5) return 0;
    fault = strchr(fault, ';');
    if (fault) ++fault;
    const size_t length = strlen(path), end = strlen(name);
    if (strcmp(call, wanted) || length < end || strcmp(path + length - end, name)) continue;
    const int before = atomic_fetch_add(&seen[i], 1);
    if (before < skip || before >= skip + count) continue;
    if (code < 0) {
      usleep(-code * 1000);
      continue;
    }
    errno = code;
    return 1;
  }
  return 0;
}

static int fails_for(const char *call, int file) {
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  const ssize_t length = readlink(link, path, sizeof path - 1);
  path[length > 0 ? length : 0] = 0;
  return fails(call, path);
}

static int open_as(const char *symbol, const char *path, int flags, mode_t mode) {
  if (fails("open", path)) return -1;
  int (*real)(const char *, int, ...) = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, symbol);
  return real(path, flags, mode);
}

#define DEFINE_OPEN(name)                         \
  int name(const char *path, int flags, ...) {    \
    va_list list;                                 \
    va_start(list, flags);                        \
    const mode_t mode = va_arg(list, mode_t);     \
    va_end(list);                                 \
    return open_as(#name, path, flags, mode);     \
  }
DEFINE_OPEN(open)
DEFINE_OPEN(open64)

/* RESULT NAME(TYPES), called CALL in FAULT, of a file that `failed` looks at. */
#define DEFINE(result, name, types, arguments, failed)                    \
  result name types {                                                     \
    if (failed) return -1;                                                \
    result(*real) types = (result(*) types)dlsym(RTLD_NEXT, #name);       \
    return real arguments;                                                \
  }
DEFINE(ssize_t, read, (int file, void *data, size_t size), (file, data, size),
       fails_for("read", file))
DEFINE(ssize_t, pread, (int file, void *data, size_t size, off_t at), (file, data, size, at),
       fails_for("pread", file))
DEFINE(ssize_t, pread64, (int file, void *data, size_t size, off64_t at), (file, data, size, at),
       fails_for("pread", file))
DEFINE(ssize_t, pwrite, (int file, const void *data, size_t size, off_t at), (file, data, size, at),
       fails_for("pwrite", file))
DEFINE(ssize_t, pwrite64, (int file, const void *data, size_t size, off64_t at),
       (file, data, size, at), fails_for("pwrite", file))
DEFINE(int, fallocate, (int file, int mode, off_t at, off_t size), (file, mode, at, size),
       fails_for("fallocate", file))
DEFINE(int, fallocate64, (int file, int mode, off64_t at, off64_t size), (file, mode, at, size),
       fails_for("fallocate", file))
DEFINE(int, fdatasync, (int file), (file), fails_for("fdatasync", file))
DEFINE(int, fsync, (int file), (file), fails_for("fsync", file))
DEFINE(int, rename, (const char *from, const char *to), (from, to), fails("rename", from))
