#include "common/feature_store/hdf5_handles.h"

#include <algorithm>

namespace last::hdf5 {
namespace {

std::mutex& library_mutex() {
  static std::mutex mutex;
  return mutex;
}

herr_t collect_description(unsigned, const H5E_error2_t* error, void* text) {
  auto& joined = *static_cast<std::string*>(text);
  if (error->desc == nullptr || *error->desc == '\0') return 0;
  if (!joined.empty()) joined += ": ";
  joined += error->desc;
  std::ranges::replace(joined, '\n', ' ');  // it quotes times with their line ends
  return 0;
}

// Our own lock on NAME.h5.lock guards writing; HDF5's locks only fail on network file systems.
void turn_off_file_locking([[maybe_unused]] hid_t access) {
#if (H5_VERSION_GE(1, 10, 7) && !H5_VERSION_GE(1, 11, 0)) || H5_VERSION_GE(1, 12, 1)
  check(H5Pset_file_locking(access, false, true), [] { return "turn off its file locking"; });
#endif
}

}  // namespace

Session::Session() : lock_(library_mutex()) {
  // HDF5 must not tidy up when the process ends: it crashes there over a file that it could not
  // close, as on a full disk, and our handles close what there is to close.
  static const herr_t no_exit_handler = H5dont_atexit();
  static_cast<void>(no_exit_handler);
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
  H5Eclear2(H5E_DEFAULT);
}

void fail_hdf5(const std::string& what) {
  std::string text;
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_DOWNWARD, collect_description, &text);
  H5Eclear2(H5E_DEFAULT);
  fail("HDF5 can't ", what, text.empty() ? "" : ": ", text);
}

std::string file_name_of(hid_t object) {
  const ssize_t length = H5Fget_name(object, nullptr, 0);
  if (length <= 0) return "?";
  std::string name(static_cast<size_t>(length) + 1, '\0');
  H5Fget_name(object, name.data(), name.size());
  name.pop_back();
  return name;
}

PropertyList make_properties(hid_t list_class) {
  return PropertyList(check(H5Pcreate(list_class), [] { return "make a property list"; }));
}

PropertyList make_timeless_properties(hid_t list_class) {
  PropertyList properties = make_properties(list_class);
  check(H5Pset_obj_track_times(properties.get(), false), [] { return "turn off object times"; });
  return properties;
}

FileHandle create_file(const std::string& path, hsize_t threshold, hsize_t alignment) {
  const PropertyList creation = make_timeless_properties(H5P_FILE_CREATE);
  const PropertyList access = make_properties(H5P_FILE_ACCESS);
  check(H5Pset_libver_bounds(access.get(), H5F_LIBVER_V18, H5F_LIBVER_V18),
        [] { return "choose the format of HDF5 1.8"; });
  check(H5Pset_alignment(access.get(), threshold, alignment), [] { return "set an alignment"; });
  turn_off_file_locking(access.get());
  return FileHandle(check(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, creation.get(), access.get()),
                          [&] { return concat("create \"", path, "\""); }));
}

FileHandle open_file_read_only(const std::string& path) {
  const PropertyList access = make_properties(H5P_FILE_ACCESS);
  turn_off_file_locking(access.get());
  return FileHandle(check(H5Fopen(path.c_str(), H5F_ACC_RDONLY, access.get()),
                          [&] { return concat("open \"", path, "\""); }));
}

}  // namespace last::hdf5
