# cmake --install: libraries, headers, pkg-config and CMake package files, the program with its man
# pages and completions, and the model in the place where the program looks for it (share/runnel of
# its own prefix).
#
# Components, of which cmake/package.cmake makes a package each: library, dev, program; licence is
# in no package, as each has a copyright file.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

install(TARGETS runnel_static runnel_shared EXPORT runnel
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT dev
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT library NAMELINK_COMPONENT dev)
set_target_properties(runnel_shared PROPERTIES EXPORT_NAME runnel)
install(DIRECTORY include/runnel DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT dev
  FILES_MATCHING PATTERN "*.h")

if(TARGET runnel_cli)
  install(TARGETS runnel_cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT program)
  if(TARGET runnel_measure_alone)
    install(TARGETS runnel_measure_alone RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR}
      COMPONENT program)
  endif()
  install(FILES docs/runnel.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 COMPONENT program)
  install(FILES samples/runnel-kiosk.service DESTINATION ${CMAKE_INSTALL_DOCDIR}/examples
    COMPONENT program)
  if(RUNNEL_SERVE)
    install(DIRECTORY share/ samples/clients DESTINATION ${CMAKE_INSTALL_DOCDIR}/examples
      COMPONENT program)
    install(FILES docs/SERVING.md DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT program)
  endif()
  if(NOT CMAKE_CROSSCOMPILING AND NOT RUNNEL_SANITIZE) # written by the program (apps/)
    install(DIRECTORY ${PROJECT_BINARY_DIR}/man/ DESTINATION ${CMAKE_INSTALL_MANDIR}/man1
      COMPONENT program FILES_MATCHING PATTERN "runnel-*.1")
    set(completions ${PROJECT_BINARY_DIR}/completions)
    set(zsh_folder site-functions)
    if(CMAKE_INSTALL_PREFIX STREQUAL "/usr") # of packages: the other is the administrator's
      set(zsh_folder vendor-completions)
    endif()
    install(FILES ${completions}/runnel
      DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions COMPONENT program)
    install(FILES ${completions}/_runnel DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/${zsh_folder}
      COMPONENT program)
    install(FILES ${completions}/runnel.fish
      DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d COMPONENT program)
  endif()
endif()
install(FILES samples/minnow/minnow.gguf DESTINATION ${CMAKE_INSTALL_DATADIR}/runnel
  COMPONENT program OPTIONAL)
install(FILES samples/hello.c samples/kiosk.c
  DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/librunnel-dev/examples COMPONENT dev)
install(FILES LICENSE NOTICE DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT licence)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/runnel)
install(EXPORT runnel NAMESPACE runnel:: DESTINATION ${package_dir} FILE runnel-targets.cmake
  COMPONENT dev)
configure_package_config_file(cmake/runnel-config.cmake.in
  ${PROJECT_BINARY_DIR}/runnel-config.cmake INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/runnel-config-version.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/runnel-config.cmake
  ${PROJECT_BINARY_DIR}/runnel-config-version.cmake DESTINATION ${package_dir} COMPONENT dev)

# The prefix in runnel.pc is relative to the file itself: an installed tree may be moved.
set(pkgconfig_dir ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
file(RELATIVE_PATH prefix_from_pc /${pkgconfig_dir} /)
string(REGEX REPLACE "/$" "" prefix_from_pc "${prefix_from_pc}")
configure_file(cmake/runnel.pc.in ${PROJECT_BINARY_DIR}/runnel.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/runnel.pc DESTINATION ${pkgconfig_dir} COMPONENT dev)
