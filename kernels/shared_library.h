// Opening a plug-in that lies beside the library (or program) this code is part of.
#pragma once

#include <dlfcn.h>

#include <string>

namespace hone {

// The folder of the library that holds this function, with its slash.
inline std::string library_folder() {
  Dl_info info;
  if (!dladdr(reinterpret_cast<const void*>(&library_folder), &info) || !info.dli_fname) return "";
  const std::string path = info.dli_fname;
  return path.substr(0, path.rfind('/') + 1);
}

// Why the last dlopen or dlsym failed.
inline std::string library_fault() {
  const char* const text = dlerror();
  return text ? text : "unknown error";
}

}  // namespace hone
