# cmake --install: libraries, headers, pkg-config and CMake package files, the program with its man
# pages and completions, and the model in the place where the program looks for it (share/runnel of
# its own prefix).
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

install(TARGETS runnel_static runnel_shared EXPORT runnel
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
set_target_properties(runnel_shared PROPERTIES EXPORT_NAME runnel)
install(DIRECTORY include/runnel DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
  FILES_MATCHING PATTERN "*.h")

if(TARGET runnel_cli)
  install(TARGETS runnel_cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  install(FILES docs/runnel.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
  if(NOT CMAKE_CROSSCOMPILING AND NOT RUNNEL_SANITIZE) # written by the program (apps/)
    install(DIRECTORY ${PROJECT_BINARY_DIR}/man/ DESTINATION ${CMAKE_INSTALL_MANDIR}/man1
      FILES_MATCHING PATTERN "runnel-*.1")
    set(completions ${PROJECT_BINARY_DIR}/completions)
    install(FILES ${completions}/runnel
      DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
    install(FILES ${completions}/_runnel DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
    install(FILES ${completions}/runnel.fish
      DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
  endif()
endif()
install(FILES samples/minnow/minnow.gguf DESTINATION ${CMAKE_INSTALL_DATADIR}/runnel OPTIONAL)
install(FILES LICENSE NOTICE DESTINATION ${CMAKE_INSTALL_DOCDIR})

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/runnel)
install(EXPORT runnel NAMESPACE runnel:: DESTINATION ${package_dir} FILE runnel-targets.cmake)
configure_package_config_file(cmake/runnel-config.cmake.in
  ${PROJECT_BINARY_DIR}/runnel-config.cmake INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/runnel-config-version.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/runnel-config.cmake
  ${PROJECT_BINARY_DIR}/runnel-config-version.cmake DESTINATION ${package_dir})

# The prefix in runnel.pc is relative to the file itself: an installed tree may be moved.
set(pkgconfig_dir ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
file(RELATIVE_PATH prefix_from_pc /${pkgconfig_dir} /)
string(REGEX REPLACE "/$" "" prefix_from_pc "${prefix_from_pc}")
configure_file(cmake/runnel.pc.in ${PROJECT_BINARY_DIR}/runnel.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/runnel.pc DESTINATION ${pkgconfig_dir})
