#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "common/feature_store/footer.h"
#include "common/feature_store/hdf5_objects.h"
#include "common/feature_store/manifest.h"

// The HDF5 side of a store: everything but the footer. The caller holds an hdf5::Session.
namespace last {

// Where the parts lie that change while rows are written.
struct StoreExtents {
  Extent features;
  Extent row_state;
  Extent row_crc32c;
  Extent row_check;
  Extent image_digest;
  Extent mean;
  Extent std;
  Extent thumbnails;  // this one and the next of size 0 without thumbnails
  Extent thumbnail_crc32c;

  std::vector<Extent> all() const;   // ascending
  std::vector<Extent> rows() const;  // ascending; those whose rows have checksums of their own
};

// Writes `path` with all metadata, and room for the rows.
StoreExtents create_hdf5_file(const std::string& path, const Manifest& manifest);

// The manifest of an open file, checked.
Manifest read_manifest(hid_t file);

// An Error where one of them is not a contiguous data set of the size that the manifest gives.
StoreExtents read_extents(hid_t file, const Manifest& manifest);

// True where /features does not lie where its writer put it: the file was repacked.
bool is_repacked(hid_t file);

}  // namespace last
