# Debian 12 packages; scripts/setup installs them.
find_package(Threads REQUIRED)
find_package(CLI11 REQUIRED)                                      # libcli11-dev
find_package(nlohmann_json 3.11 REQUIRED)                         # nlohmann-json3-dev
find_package(PkgConfig REQUIRED)
pkg_check_modules(hwy REQUIRED IMPORTED_TARGET libhwy)            # libhwy-dev
pkg_check_modules(oniguruma REQUIRED IMPORTED_TARGET oniguruma)   # libonig-dev
pkg_check_modules(utf8proc REQUIRED IMPORTED_TARGET libutf8proc)  # libutf8proc-dev
pkg_check_modules(xxhash REQUIRED IMPORTED_TARGET libxxhash)      # libxxhash-dev
if(NOT HONE_SANITIZE)  # Open MPI leaks what it takes at its start
  set(MPI_CXX_SKIP_MPICXX ON)
  find_package(MPI COMPONENTS CXX)                                # libopenmpi-dev, optional
endif()
if(HONE_TESTS)
  find_package(doctest REQUIRED)                                  # doctest-dev
endif()

add_library(hone_dependencies INTERFACE)
target_link_libraries(hone_dependencies INTERFACE Threads::Threads nlohmann_json::nlohmann_json
  CLI11::CLI11 PkgConfig::oniguruma PkgConfig::utf8proc PkgConfig::xxhash)
target_compile_definitions(hone_dependencies INTERFACE HONE_VERSION="${PROJECT_VERSION}")
