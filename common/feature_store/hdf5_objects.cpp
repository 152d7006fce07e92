#include "common/feature_store/hdf5_objects.h"

#include <numeric>

namespace last::hdf5 {
namespace {

// "/row_state" of "a.h5"
std::string place(hid_t object, const std::string& name) {
  return concat("\"", name, "\" of \"", file_name_of(object), "\"");
}

std::string to_text(const Shape& shape) {
  std::string text;
  for (const hsize_t extent : shape) text += concat(text.empty() ? "" : ", ", extent);
  return "[" + text + "]";
}

Datatype copy_type(hid_t type) {
  return Datatype(check(H5Tcopy(type), [] { return "copy a type"; }));
}

Datatype make_float16(size_t sign, size_t exponent, size_t exponent_bits, size_t mantissa_bits,
                      size_t bias) {
  Datatype type = copy_type(H5T_IEEE_F32LE);
  const auto what = [] { return "make a 16-bit floating-point type"; };
  // Fields before the size: a type can't shrink below the fields it has.
  check(H5Tset_fields(type.get(), sign, exponent, exponent_bits, 0, mantissa_bits), what);
  check(H5Tset_size(type.get(), 2), what);
  check(H5Tset_ebias(type.get(), bias), what);
  return type;
}

Datatype text_type() {
  Datatype type = copy_type(H5T_C_S1);
  check(H5Tset_size(type.get(), H5T_VARIABLE), [] { return "make a type of strings"; });
  check(H5Tset_cset(type.get(), H5T_CSET_UTF8), [] { return "make a type of UTF-8 strings"; });
  return type;
}

Dataspace scalar_space() {
  return Dataspace(check(H5Screate(H5S_SCALAR), [] { return "make a scalar space"; }));
}

Dataspace array_space(const Shape& shape) {
  return Dataspace(check(H5Screate_simple(static_cast<int>(shape.size()), shape.data(), nullptr),
                         [&] { return concat("make a space of ", to_text(shape)); }));
}

PropertyList utf8_links() {
  PropertyList links = make_properties(H5P_LINK_CREATE);
  check(H5Pset_char_encoding(links.get(), H5T_CSET_UTF8), [] { return "name things in UTF-8"; });
  return links;
}

Dataset create_dataset(hid_t file, const std::string& name, hid_t type, const Shape& shape) {
  const PropertyList creation = make_timeless_properties(H5P_DATASET_CREATE);
  const auto what = [&] { return "create " + place(file, name); };
  check(H5Pset_layout(creation.get(), H5D_CONTIGUOUS), what);
  check(H5Pset_alloc_time(creation.get(), H5D_ALLOC_TIME_EARLY), what);
  // HDF5 insists on filling variable-length data; elsewhere a new file holds zeros by itself.
  if (H5Tis_variable_str(type) <= 0) {
    check(H5Pset_fill_time(creation.get(), H5D_FILL_TIME_NEVER), what);
  }
  return Dataset(check(H5Dcreate2(file, name.c_str(), type, array_space(shape).get(),
                                  utf8_links().get(), creation.get(), H5P_DEFAULT),
                       what));
}

void write_scalar_attribute(hid_t file, const std::string& object, const char* name, hid_t type,
                            const void* value) {
  const auto what = [&] { return "write attribute " + place(file, object + ":" + name); };
  const Attribute attribute(
      check(H5Acreate_by_name(file, object.c_str(), name, type, scalar_space().get(), H5P_DEFAULT,
                              H5P_DEFAULT, H5P_DEFAULT),
            what));
  check(H5Awrite(attribute.get(), type, value), what);
}

Attribute open_scalar_attribute(hid_t file, const std::string& object, const char* name) {
  const auto what = [&] { return "read attribute " + place(file, object + ":" + name); };
  Attribute attribute(
      check(H5Aopen_by_name(file, object.c_str(), name, H5P_DEFAULT, H5P_DEFAULT), what));
  const Dataspace space(check(H5Aget_space(attribute.get()), what));
  if (H5Sget_simple_extent_npoints(space.get()) != 1) {
    fail("attribute ", place(file, object + ":" + name), " should hold one value");
  }
  return attribute;
}

void require_class(const Attribute& attribute, H5T_class_t expected, const std::string& where) {
  const Datatype type(check(H5Aget_type(attribute.get()), [&] { return "read " + where; }));
  if (H5Tget_class(type.get()) != expected) fail("attribute ", where, " has an unexpected type");
}

}  // namespace

Datatype element_type(c10::ScalarType dtype) {
  switch (dtype) {
    case c10::ScalarType::Half:
      return make_float16(15, 10, 5, 10, 15);
    case c10::ScalarType::BFloat16:
      return make_float16(15, 7, 8, 7, 127);
    case c10::ScalarType::Float:
      return copy_type(H5T_IEEE_F32LE);
    default:
      fail("no feature type ", c10::toString(dtype), "; known: fp16, bf16, fp32");
  }
}

void create_group(hid_t file, const std::string& name) {
  const PropertyList creation = make_timeless_properties(H5P_GROUP_CREATE);
  Group(check(H5Gcreate2(file, name.c_str(), utf8_links().get(), creation.get(), H5P_DEFAULT),
              [&] { return "create group " + place(file, name); }));
}

bool exists(hid_t file, const std::string& name) {
  return check(H5Lexists(file, name.c_str(), H5P_DEFAULT),
               [&] { return "look for " + place(file, name); }) > 0;
}

void write_attribute(hid_t file, const std::string& object, const char* name,
                     const std::string& value) {
  const char* text = value.c_str();
  write_scalar_attribute(file, object, name, text_type().get(), &text);
}

void write_attribute(hid_t file, const std::string& object, const char* name, int64_t value) {
  write_scalar_attribute(file, object, name, H5T_STD_I64LE, &value);
}

void write_attribute(hid_t file, const std::string& object, const char* name, double value) {
  write_scalar_attribute(file, object, name, H5T_IEEE_F64LE, &value);
}

std::string read_text_attribute(hid_t file, const std::string& object, const char* name) {
  const std::string where = place(file, object + ":" + name);
  const Attribute attribute = open_scalar_attribute(file, object, name);
  const Datatype stored(check(H5Aget_type(attribute.get()), [&] { return "read " + where; }));
  if (H5Tis_variable_str(stored.get()) <= 0) fail("attribute ", where, " should be a string");
  const Datatype type = text_type();
  char* text = nullptr;
  check(H5Aread(attribute.get(), type.get(), &text), [&] { return "read attribute " + where; });
  std::string value = text == nullptr ? "" : text;
  H5Dvlen_reclaim(type.get(), scalar_space().get(), H5P_DEFAULT, &text);
  return value;
}

int64_t read_integer_attribute(hid_t file, const std::string& object, const char* name) {
  const std::string where = place(file, object + ":" + name);
  const Attribute attribute = open_scalar_attribute(file, object, name);
  require_class(attribute, H5T_INTEGER, where);
  int64_t value = 0;
  check(H5Aread(attribute.get(), H5T_STD_I64LE, &value), [&] { return "read " + where; });
  return value;
}

double read_real_attribute(hid_t file, const std::string& object, const char* name) {
  const std::string where = place(file, object + ":" + name);
  const Attribute attribute = open_scalar_attribute(file, object, name);
  require_class(attribute, H5T_FLOAT, where);
  double value = 0;
  check(H5Aread(attribute.get(), H5T_IEEE_F64LE, &value), [&] { return "read " + where; });
  return value;
}

Extent create_array(hid_t file, const std::string& name, hid_t type, const Shape& shape) {
  const Dataset dataset = create_dataset(file, name, type, shape);
  const auto extent = contiguous_extent(dataset);
  if (!extent) fail("HDF5 gave no place to ", place(file, name));
  return *extent;
}

void write_array(hid_t file, const std::string& name, hid_t type, const Shape& shape,
                 const void* data) {
  const Dataset dataset = create_dataset(file, name, type, shape);
  check(H5Dwrite(dataset.get(), type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data),
        [&] { return "write " + place(file, name); });
}

void read_array(hid_t file, const std::string& name, hid_t type, const Shape& shape, void* data) {
  const auto what = [&] { return "read " + place(file, name); };
  const Dataset dataset = open_dataset(file, name);
  if (const Shape stored = shape_of(dataset); stored != shape) {
    fail(place(file, name), " has shape ", to_text(stored), ", expected ", to_text(shape));
  }
  const Datatype stored(check(H5Dget_type(dataset.get()), what));
  if (check(H5Tequal(stored.get(), type), what) == 0) {
    fail(place(file, name), " has an unexpected element type");
  }
  check(H5Dread(dataset.get(), type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data), what);
}

void write_strings(hid_t file, const std::string& name, const std::vector<std::string>& strings) {
  std::vector<const char*> pointers;
  pointers.reserve(strings.size());
  for (const std::string& text : strings) pointers.push_back(text.c_str());
  write_array(file, name, text_type().get(), {strings.size()}, pointers.data());
}

std::vector<std::string> read_strings(hid_t file, const std::string& name,
                                      std::optional<hsize_t> count) {
  const auto what = [&] { return "read " + place(file, name); };
  const Dataset dataset = open_dataset(file, name);
  const Shape shape = shape_of(dataset);
  if (shape.size() != 1 || (count && shape[0] != *count)) {
    fail(place(file, name), " has shape ", to_text(shape), ", expected ",
         count ? to_text({*count}) : "one dimension");
  }
  const Datatype stored(check(H5Dget_type(dataset.get()), what));
  if (H5Tis_variable_str(stored.get()) <= 0) fail(place(file, name), " should hold strings");

  const Datatype type = text_type();
  const Dataspace space(check(H5Dget_space(dataset.get()), what));
  std::vector<char*> pointers(shape[0], nullptr);
  check(H5Dread(dataset.get(), type.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, pointers.data()), what);
  std::vector<std::string> strings;
  strings.reserve(pointers.size());
  for (const char* text : pointers) strings.emplace_back(text == nullptr ? "" : text);
  H5Dvlen_reclaim(type.get(), space.get(), H5P_DEFAULT, pointers.data());
  return strings;
}

Dataset open_dataset(hid_t file, const std::string& name) {
  return Dataset(check(H5Dopen2(file, name.c_str(), H5P_DEFAULT),
                       [&] { return "open " + place(file, name); }));
}

Shape shape_of(const Dataset& dataset) {
  const auto what = [] { return "read the shape of a data set"; };
  const Dataspace space(check(H5Dget_space(dataset.get()), what));
  Shape shape(static_cast<size_t>(check(H5Sget_simple_extent_ndims(space.get()), what)));
  check(H5Sget_simple_extent_dims(space.get(), shape.data(), nullptr), what);
  return shape;
}

std::optional<Extent> contiguous_extent(const Dataset& dataset) {
  const auto what = [] { return "read the layout of a data set"; };
  const PropertyList creation(check(H5Dget_create_plist(dataset.get()), what));
  if (check(H5Pget_layout(creation.get()), what) != H5D_CONTIGUOUS) return std::nullopt;
  if (check(H5Pget_external_count(creation.get()), what) != 0) return std::nullopt;
  const haddr_t offset = H5Dget_offset(dataset.get());
  if (offset == HADDR_UNDEF) return std::nullopt;
  return Extent{offset, H5Dget_storage_size(dataset.get())};
}

void read_first_dimension(const Dataset& dataset, hsize_t index, void* data) {
  const auto what = [&] {
    return concat("read row ", index, " of \"", file_name_of(dataset.get()), "\"");
  };
  const Shape shape = shape_of(dataset);
  Shape start(shape.size(), 0);
  Shape count = shape;
  start[0] = index;
  count[0] = 1;
  const Dataspace space(check(H5Dget_space(dataset.get()), what));
  check(H5Sselect_hyperslab(space.get(), H5S_SELECT_SET, start.data(), nullptr, count.data(),
                            nullptr),
        what);
  const Datatype type(check(H5Dget_type(dataset.get()), what));
  check(
      H5Dread(dataset.get(), type.get(), array_space(count).get(), space.get(), H5P_DEFAULT, data),
      what);
}

}  // namespace last::hdf5
