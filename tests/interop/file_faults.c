/* Preloaded into a program under test: the system's calls fail for one file, as those of a network
 * file system do at times. FAULT="CALL ERRNO COUNT NAME": the first COUNT calls of open or read
 * that concern a file whose path ends in NAME fail. */
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

static atomic_int failed;

static int fails(const char *call, const char *path) {
  char wanted[16], name[256];
  int code, count;
  const char *fault = getenv("FAULT");
  if (!fault || sscanf(fault, "%15s %d %d %255s", wanted, &code, &count, name) != 4) return 0;
  const size_t length = strlen(path), end = strlen(name);
  if (strcmp(call, wanted) || length < end || strcmp(path + length - end, name)) return 0;
  if (atomic_fetch_add(&failed, 1) >= count) return 0;
  errno = code;
  return 1;
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

ssize_t read(int file, void *data, size_t size) {
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  const ssize_t length = readlink(link, path, sizeof path - 1);
  path[length > 0 ? length : 0] = 0;
  if (fails("read", path)) return -1;
  ssize_t (*real)(int, void *, size_t) = (ssize_t(*)(int, void *, size_t))dlsym(RTLD_NEXT, "read");
  return real(file, data, size);
}
