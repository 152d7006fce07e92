#include "common/last/gemm/cuda_kernels.h"

#include <dlfcn.h>

#include <c10/core/DeviceGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include "common/error.h"

namespace last::gemm {
namespace {

// What is used of CUDA's driver (cuda.h) and compiler (nvrtc.h), whose headers a machine without
// its toolkit lacks. Both return 0 where all is well.
struct Cuda {
  int (*get_device)(int* device, int index);
  int (*retain_context)(void** context, int device);
  int (*set_context)(void* context);
  int (*get_attribute)(int* value, int attribute, int device);
  int (*load_module)(void** module, const void* image);
  int (*get_function)(void** function, void* module, const char* name);
  int (*launch)(void* function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                unsigned block_y, unsigned block_z, unsigned shared_bytes, void* stream,
                void** parameters, void** extra);
  int (*error_string)(int error, const char** text);

  int (*create_program)(void** program, const char* source, const char* name, int headers,
                        const char* const* header_texts, const char* const* header_names);
  int (*compile_program)(void* program, int options, const char* const* option);
  int (*destroy_program)(void** program);
  int (*log_size)(void* program, size_t* size);
  int (*log)(void* program, char* text);
  int (*cubin_size)(void* program, size_t* size);
  int (*cubin)(void* program, char* image);
};

constexpr int kCapabilityMajor = 75, kCapabilityMinor = 76;  // CU_DEVICE_ATTRIBUTE_COMPUTE_..

template <class Function>
void find(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, name));
  if (function == nullptr) fail("CUDA: ", name, " is not in its libraries");
}

const Cuda& cuda() {
  static const Cuda functions = [] {
    // Brings both libraries along, wherever libtorch's package keeps them.
    void* library = dlopen("libcaffe2_nvrtc.so", RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) fail("CUDA's run-time compiler can't be loaded: ", dlerror());
    Cuda c{};
    find(library, "cuDeviceGet", c.get_device);
    find(library, "cuDevicePrimaryCtxRetain", c.retain_context);
    find(library, "cuCtxSetCurrent", c.set_context);
    find(library, "cuDeviceGetAttribute", c.get_attribute);
    find(library, "cuModuleLoadData", c.load_module);
    find(library, "cuModuleGetFunction", c.get_function);
    find(library, "cuLaunchKernel", c.launch);
    find(library, "cuGetErrorString", c.error_string);
    find(library, "nvrtcCreateProgram", c.create_program);
    find(library, "nvrtcCompileProgram", c.compile_program);
    find(library, "nvrtcDestroyProgram", c.destroy_program);
    find(library, "nvrtcGetProgramLogSize", c.log_size);
    find(library, "nvrtcGetProgramLog", c.log);
    find(library, "nvrtcGetCUBINSize", c.cubin_size);
    find(library, "nvrtcGetCUBIN", c.cubin);
    return c;
  }();
  return functions;
}

void check(int error, const char* what) {
  if (error == 0) return;
  const char* text = nullptr;
  cuda().error_string(error, &text);
  fail("CUDA: ", what, ": ", text == nullptr ? "unknown error" : text, " (", error, ")");
}

std::string architecture(int device) {
  int major = 0, minor = 0;
  check(cuda().get_attribute(&major, kCapabilityMajor, device), "asking for its capability");
  check(cuda().get_attribute(&minor, kCapabilityMinor, device), "asking for its capability");
  return concat("--gpu-architecture=sm_", major, minor);
}

std::string compile(const std::string& source, const std::vector<std::string>& definitions,
                    int device) {
  std::vector<std::string> options = {architecture(device), "--std=c++17"};
  for (const auto& definition : definitions) options.push_back("--define-macro=" + definition);
  std::vector<const char*> texts;
  for (const auto& option : options) texts.push_back(option.c_str());

  const Cuda& c = cuda();
  void* program = nullptr;
  int error = c.create_program(&program, source.c_str(), "kernels.cu", 0, nullptr, nullptr);
  if (error != 0) fail("CUDA's run-time compiler can't be started (error ", error, ")");
  error = c.compile_program(program, static_cast<int>(texts.size()), texts.data());
  const auto text_of = [&](auto size_of, auto get) {
    size_t size = 0;
    size_of(program, &size);
    std::string text(size, '\0');
    if (size > 0) get(program, text.data());
    return text;
  };
  const std::string result =
      error != 0 ? text_of(c.log_size, c.log) : text_of(c.cubin_size, c.cubin);
  c.destroy_program(&program);
  if (error != 0) {
    fail("CUDA's run-time compiler, for ", options.front(), " (error ", error,
         "): ", result.c_str());
  }
  return result;
}

}  // namespace

CudaKernels::CudaKernels(const std::string& source, const std::vector<std::string>& definitions,
                         const c10::Device& device)
    : device_(device) {
  const c10::DeviceGuard guard(device);
  int number = 0;
  check(cuda().get_device(&number, device.index()), "finding the device");
  // The context that torch uses.
  check(cuda().retain_context(&context_, number), "asking for its context");
  check(cuda().set_context(context_), "using its context");
  const std::string image = compile(source, definitions, number);
  check(cuda().load_module(&module_, image.data()), "loading a module");
}

void CudaKernels::launch(const char* kernel, int64_t blocks_x, int64_t blocks_y, int threads,
                         const void* arguments) const {
  const c10::DeviceGuard guard(device_);
  const c10::impl::VirtualGuardImpl torch_device(device_.type());
  if (torch_device.getStream(device_).id() != 0) {
    fail("CUDA: the kernels run on torch's default stream, another one is set");
  }
  check(cuda().set_context(context_), "using its context");
  void* function = nullptr;
  check(cuda().get_function(&function, module_, kernel), kernel);
  void* parameters[] = {const_cast<void*>(arguments)};
  check(cuda().launch(function, static_cast<unsigned>(blocks_x), static_cast<unsigned>(blocks_y), 1,
                      static_cast<unsigned>(threads), 1, 1, 0, nullptr, parameters, nullptr),
        kernel);
}

}  // namespace last::gemm
