# The CUDA backend: libhone-cuda.so, a plug-in beside libhone.so. Programs never link it, nor any
# library of CUDA: kernels/cuda_plugin/ opens it where the machine has a driver.
set(HONE_CUDA AUTO CACHE STRING "CUDA backend: AUTO (where nvcc is found), ON, OFF, or EMULATED: \
none is built, but HONE_CUDA_PLUGIN may name the emulated one, for tests without nvcc")
set(HONE_CUDA_ARCHITECTURES "80-real;86-real;89-real;90a-real;120-real;90-virtual" CACHE STRING
    "Compute capabilities of the CUDA backend: machine code (real), PTX for later ones (virtual); for \
work on one machine its own alone: 90a-real")

set(HONE_HAS_CUDA OFF)
if(HONE_SANITIZE MATCHES "address" AND NOT HONE_FOLDERS)
  set(HONE_CUDA EMULATED)
elseif(HONE_SANITIZE OR HONE_FOLDERS)
  set(HONE_CUDA OFF)
endif()
if(HONE_CUDA STREQUAL "AUTO")
  include(CheckLanguage)
  set(CMAKE_CUDA_ARCHITECTURES 80)  # what the check compiles for
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    set(HONE_HAS_CUDA ON)
  endif()
elseif(HONE_CUDA AND NOT HONE_CUDA STREQUAL "EMULATED")
  set(HONE_HAS_CUDA ON)
endif()

if(HONE_HAS_CUDA)
  set(CMAKE_CUDA_ARCHITECTURES 80)
  enable_language(CUDA)
  find_package(CUDAToolkit 12.8 REQUIRED)
  if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)  # CMake 3.25 knows no C++20 for nvcc 13
    set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
    set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION -std=c++20)
  endif()
  if(CMAKE_CXX_COMPILER_LAUNCHER AND NOT CMAKE_CUDA_COMPILER_LAUNCHER)
    set(CMAKE_CUDA_COMPILER_LAUNCHER ${CMAKE_CXX_COMPILER_LAUNCHER})
  endif()
endif()

# The flags of nvcc for HONE_CUDA_ARCHITECTURES. Its front end costs as much as its assembler, so
# one PTX serves all architectures up to the next of `stages`: those for which the sources are
# compiled differently (__CUDA_ARCH__ in kernels/simt).
function(hone_cuda_code result stages)
  set(flags "")
  foreach(architecture IN LISTS HONE_CUDA_ARCHITECTURES)
    if(NOT architecture MATCHES "^([0-9]+)(a?)-(real|virtual)$")
      message(FATAL_ERROR "HONE_CUDA_ARCHITECTURES: ${architecture} is none, 90a-real would be one")
    endif()
    set(number ${CMAKE_MATCH_1})
    set(code "sm_${number}${CMAKE_MATCH_2}")
    set(virtual ${CMAKE_MATCH_3})
    foreach(stage IN LISTS stages)
      if(stage LESS_EQUAL number)
        set(ptx compute_${stage})
      endif()
    endforeach()
    if(virtual STREQUAL "virtual")
      set(code ${ptx})
    endif()
    list(APPEND flags -gencode=arch=${ptx},code=${code})
  endforeach()
  set(${result} "${flags}" PARENT_SCOPE)
endfunction()

# For every target with CUDA sources. 20012: attributes of a function that is defaulted.
set(HONE_CUDA_OPTIONS $<$<COMPILE_LANGUAGE:CUDA>:--expt-relaxed-constexpr --threads=2
    -diag-suppress=20012 -Xcompiler=-fvisibility=hidden>)
