#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace last {

// An open file descriptor with positional reads and writes. Thread-safe: no shared file position.
// Every error is an Error that names the file.
class File {
 public:
  File() = default;
  ~File();
  File(File&& other) noexcept;
  File& operator=(File&& other) noexcept;

  // Of regular files only; anything else is an Error at once, and nothing waits for a pipe.
  static File open_read(const std::string& path);
  static File open_read_write(const std::string& path);
  // Creates the file, or empties an existing one.
  static File create(const std::string& path);

  bool is_open() const { return descriptor_ >= 0; }
  int descriptor() const { return descriptor_; }
  const std::string& path() const { return path_; }
  uint64_t size() const;

  // All `size` bytes at `offset`; fewer (a truncated file) is an error.
  void read_at(void* data, size_t size, uint64_t offset) const;
  void write_at(const void* data, size_t size, uint64_t offset) const;
  // Starts reading into the system's cache, without waiting; a hint that may have no effect.
  void will_need(uint64_t offset, uint64_t size) const;
  // Starts writing what lies there to the disk, without waiting for it to arrive; a hint as well.
  void start_writing(uint64_t offset, uint64_t size) const;
  // Written data reaches the disk before this returns.
  void sync() const;
  void close();

  // False where the path leads to no file or to another one. True where the system can't say.
  bool is_at_its_path() const;
  // A lock against other openings of the same file, held until it is closed; false where another
  // one has it. Neither flock nor the whole file's fcntl lock: HDF5's own locks don't mind it. True
  // where the file system has no such locks.
  bool try_lock() const;

 private:
  File(int descriptor, std::string path);

  int descriptor_ = -1;
  std::string path_;
};

// An exclusive lock (flock) on a file of its own, held until destruction. The file stays.
class FileLock {
 public:
  // Creates `path` where it is missing. An Error says that another process holds it.
  explicit FileLock(const std::string& path);

 private:
  File file_;
};

std::string read_text_file(const std::string& path);

// Writes PATH.tmp, syncs it and renames it: `path` holds all of `bytes` or what it held before. No
// PATH.tmp is left where that fails.
void write_file_atomically(const std::string& path, const std::string& bytes);

// fsync of the folder that holds `path`, after a rename in it. Nothing on file systems that know no
// such thing.
void sync_parent_folder(const std::string& path);

// rename(), synced on both sides: the file before, its folder after.
void publish_file(const std::string& temporary, const std::string& path);

}  // namespace last
