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

foreach(plugin hone_cuda hone_mpi)  # beside libhone.so, which opens them
  if(TARGET ${plugin})
    install(TARGETS ${plugin} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
  endif()
endforeach()

set(CPACK_PACKAGE_CONTACT "The hone developers <hone@localhost>")
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_GENERATOR DEB)
include(CPack)
