# cmake --install and cpack -G DEB: programs, libhone.so, man pages and shell
# completions, the last two printed by the programs themselves from their option declarations.
include(GNUInstallDirs)

set(programs "")
foreach(tool prune quantize fuse-check generate benchmark)
  if(TARGET hone-${tool})
    list(APPEND programs hone-${tool})
  endif()
endforeach()

set(generated "")
foreach(program ${programs})
  set(man ${CMAKE_BINARY_DIR}/share/man1/${program}.1)
  set(bash ${CMAKE_BINARY_DIR}/share/bash/${program})
  set(zsh ${CMAKE_BINARY_DIR}/share/zsh/_${program})
  set(fish ${CMAKE_BINARY_DIR}/share/fish/${program}.fish)
  add_custom_command(
    OUTPUT ${man} ${bash} ${zsh} ${fish}
    COMMAND ${CMAKE_COMMAND} -E make_directory ${CMAKE_BINARY_DIR}/share/man1
            ${CMAKE_BINARY_DIR}/share/bash ${CMAKE_BINARY_DIR}/share/zsh ${CMAKE_BINARY_DIR}/share/fish
    COMMAND ${program} --hone-man > ${man}
    COMMAND ${program} --hone-completion bash > ${bash}
    COMMAND ${program} --hone-completion zsh > ${zsh}
    COMMAND ${program} --hone-completion fish > ${fish}
    DEPENDS ${program} VERBATIM)
  list(APPEND generated ${man} ${bash} ${zsh} ${fish})
endforeach()

if(programs)
  add_custom_target(hone_texts ALL DEPENDS ${generated})
  install(TARGETS hone ${programs} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR}
          LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
  install(DIRECTORY ${CMAKE_BINARY_DIR}/share/man1 DESTINATION ${CMAKE_INSTALL_MANDIR})
  install(DIRECTORY ${CMAKE_BINARY_DIR}/share/bash/
          DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
  install(DIRECTORY ${CMAKE_BINARY_DIR}/share/zsh/
          DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/vendor-completions)
  install(DIRECTORY ${CMAKE_BINARY_DIR}/share/fish/
          DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
endif()

if(TARGET hone_cuda)  # beside libhone.so, which opens it
  install(TARGETS hone_cuda LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
endif()
if(TARGET hone_mpi)  # likewise; a package of its own, so that hone's needs no MPI
  install(TARGETS hone_mpi LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT mpi)
endif()

set(CPACK_PACKAGE_CONTACT "The hone developers <hone@localhost>")
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_GENERATOR DEB)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_UNSPECIFIED_PACKAGE_NAME hone)
set(CPACK_DEBIAN_MPI_PACKAGE_NAME hone-mpi)
set(CPACK_DEBIAN_MPI_PACKAGE_DEPENDS hone)
include(CPack)
