# Debian packages: runnel (the program and its model), librunnel0, librunnel-dev.
#
#   cmake --preset deb && cmake --build --preset deb -j"$(nproc)"
#   cpack --config build/deb/CPackConfig.cmake
#
# Each has a copyright file made of NOTICE and LICENSE, and a changelog; cmake/package_files.cmake
# compresses what Debian wants compressed.
set(copyright ${PROJECT_BINARY_DIR}/package/copyright)
file(READ ${PROJECT_SOURCE_DIR}/NOTICE notice)
file(READ ${PROJECT_SOURCE_DIR}/LICENSE licence)
file(WRITE ${copyright} "${notice}\n\nLICENSE\n\n${licence}\n
On Debian systems the whole texts of the GNU and Apache licences named above are
in /usr/share/common-licenses/GPL-2, /usr/share/common-licenses/GPL-3,
/usr/share/common-licenses/LGPL-2.1 and /usr/share/common-licenses/Apache-2.0.
")
set(release 1)
set(RUNNEL_MAINTAINER "The Runnel authors <runnel@users.noreply.github.com>"
  CACHE STRING "who made the Debian packages, and where to write to")
set(changelog ${PROJECT_BINARY_DIR}/package/changelog.Debian)
file(WRITE ${changelog} "runnel (${PROJECT_VERSION}-${release}) unstable; urgency=medium

  * As built from the source tree; what has changed is in its CHANGELOG.md.

 -- ${RUNNEL_MAINTAINER}  Mon, 30 Nov 2026 00:00:00 +0000
")
# runnel-measure is static on purpose: it is copied to machines that have no library of ours.
if(TARGET runnel_measure_alone)
  set(overrides ${PROJECT_BINARY_DIR}/package/overrides)
  file(WRITE ${overrides} "runnel: statically-linked-binary [usr/bin/runnel-measure]\n")
  install(FILES ${overrides} DESTINATION ${CMAKE_INSTALL_DATADIR}/lintian/overrides RENAME runnel
    COMPONENT program EXCLUDE_FROM_ALL)
endif()
# What dpkg-shlibdeps and ldconfig want to know of the library.
set(shlibs ${PROJECT_BINARY_DIR}/package/shlibs)
set(triggers ${PROJECT_BINARY_DIR}/package/triggers)
file(WRITE ${shlibs} "librunnel ${PROJECT_VERSION_MAJOR} librunnel${PROJECT_VERSION_MAJOR} \
(>= ${PROJECT_VERSION})\n")
file(WRITE ${triggers} "activate-noawait ldconfig\n")
set(name_program runnel)
set(name_library librunnel${PROJECT_VERSION_MAJOR})
set(name_dev librunnel-dev)
foreach(component program library dev)
  install(FILES ${copyright} ${changelog}
    DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/${name_${component}} COMPONENT ${component}
    EXCLUDE_FROM_ALL) # of no installation by hand
endforeach()

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME runnel)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGE_CONTACT ${RUNNEL_MAINTAINER})
set(CPACK_PACKAGE_DIRECTORY ${PROJECT_BINARY_DIR})
set(CPACK_COMPONENTS_ALL library dev program)
set(CPACK_STRIP_FILES ON)
set(CPACK_PRE_BUILD_SCRIPTS ${PROJECT_SOURCE_DIR}/cmake/package_files.cmake)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
  OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)

set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_RELEASE ${release})
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
foreach(component program library dev)
  string(TOUPPER ${component} upper)
  set(CPACK_DEBIAN_${upper}_PACKAGE_NAME ${name_${component}})
endforeach()
set(CPACK_DEBIAN_PROGRAM_PACKAGE_SECTION sound)
set(CPACK_DEBIAN_PROGRAM_PACKAGE_RECOMMENDS "ffmpeg, ca-certificates")
set(CPACK_DEBIAN_LIBRARY_PACKAGE_SECTION libs)
set(CPACK_DEBIAN_LIBRARY_PACKAGE_CONTROL_EXTRA "${shlibs};${triggers}")
set(CPACK_DEBIAN_DEV_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEV_PACKAGE_SHLIBDEPS OFF)
set(CPACK_DEBIAN_DEV_PACKAGE_DEPENDS "${name_library} (= ${PROJECT_VERSION}-${release}), \
libfftw3-dev, libsamplerate0-dev, libjansson-dev, libspeexdsp-dev")
set(about "Runs Liquid AI's LFM2-Audio and LFM2.5-Audio models on the processor: a
spoken question goes in, text and speech come out, and one loop does the work
of speech recognition, language model and synthesis.
.
")
set(CPACK_DEBIAN_PROGRAM_DESCRIPTION
  "${about}This package has the program and a small model to try it with.")
set(CPACK_DEBIAN_LIBRARY_DESCRIPTION "${about}This package has the shared library.")
set(CPACK_DEBIAN_DEV_DESCRIPTION "${about}This package has headers, the static library, and files \
for pkg-config and\nCMake.")
include(CPack)
