# One set of flags for all of hone's own targets: link hone_flags.
add_library(hone_flags INTERFACE)
# -Wno-restrict: g++ 12 warns of overlapping copies in "literal" + std::string (GCC bug 105651).
# -Wno-missing-field-initializers: designated initialisers leave fields at their defaults on purpose.
target_compile_options(hone_flags INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra
                       $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict> -Wno-missing-field-initializers>)
# Fused multiply-adds only where the source says so: formats are defined by separate roundings.
target_compile_options(hone_flags INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-ffp-contract=off>)
if(HONE_WERROR)
  target_compile_options(hone_flags INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Werror>)
endif()
target_include_directories(hone_flags INTERFACE ${PROJECT_SOURCE_DIR})
if(HONE_SANITIZE)
  target_compile_options(hone_flags INTERFACE -fsanitize=${HONE_SANITIZE} -fno-omit-frame-pointer
                                              -fno-sanitize-recover=all)
  target_link_options(hone_flags INTERFACE -fsanitize=${HONE_SANITIZE})
endif()
