# hone_folder(NAME DIR): the sources of one folder as the object library hone_NAME.
# HONE_FOLDERS limits a build to some folders (while only they are worked on).
set(HONE_FOLDERS "" CACHE STRING "Folders to build, as in codec;base;io; empty: all")


function(hone_folder name directory)
  if(HONE_FOLDERS AND NOT name IN_LIST HONE_FOLDERS)
    return()
  endif()
  file(GLOB sources CONFIGURE_DEPENDS ${directory}/*.cpp ${directory}/arch/*.cpp)
  if(NOT sources)
    return()
  endif()
  add_library(hone_${name} OBJECT ${sources})
  target_link_libraries(hone_${name} PUBLIC hone_flags hone_dependencies)
  set_property(GLOBAL APPEND PROPERTY hone_folder_targets hone_${name})
endfunction()
