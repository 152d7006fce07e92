#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <c10/core/ScalarType.h>

#include "common/feature_store/footer.h"
#include "common/feature_store/hdf5_handles.h"

// Attributes, arrays and lists of strings of an open file. Errors name file and object. The type of
// an array in memory is always that of the file: HDF5 converts fp16 at 0.035 GB/s.
namespace last::hdf5 {

using Shape = std::vector<hsize_t>;

// Half, BFloat16 and Float as little-endian HDF5 types. HDF5 1.10 predefines neither 16-bit type.
Datatype element_type(c10::ScalarType dtype);

void create_group(hid_t file, const std::string& name);
bool exists(hid_t file, const std::string& name);

void write_attribute(hid_t file, const std::string& object, const char* name,
                     const std::string& value);
void write_attribute(hid_t file, const std::string& object, const char* name, int64_t value);
void write_attribute(hid_t file, const std::string& object, const char* name, double value);
std::string read_text_attribute(hid_t file, const std::string& object, const char* name);
int64_t read_integer_attribute(hid_t file, const std::string& object, const char* name);
double read_real_attribute(hid_t file, const std::string& object, const char* name);

// Contiguous, its space allocated now, never filled by HDF5. Returns where it lies in the file.
Extent create_array(hid_t file, const std::string& name, hid_t type, const Shape& shape);
void write_array(hid_t file, const std::string& name, hid_t type, const Shape& shape,
                 const void* data);
// Type and shape must be those of the file.
void read_array(hid_t file, const std::string& name, hid_t type, const Shape& shape, void* data);

void write_strings(hid_t file, const std::string& name, const std::vector<std::string>& strings);
// Exactly `count` of them where that is given.
std::vector<std::string> read_strings(hid_t file, const std::string& name,
                                      std::optional<hsize_t> count);

Dataset open_dataset(hid_t file, const std::string& name);
Shape shape_of(const Dataset& dataset);
// Where the data lies, if it is one unfiltered block of this file.
std::optional<Extent> contiguous_extent(const Dataset& dataset);
// One index of the first dimension, in the type of the file.
void read_first_dimension(const Dataset& dataset, hsize_t index, void* data);

}  // namespace last::hdf5
