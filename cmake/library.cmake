# The libraries, made from runnel_objects.
#
#   runnel         librunnel_inner.a, every object as it is. For the program and the samples of this
#                  tree; the program uses inner functions. Not installed.
#   runnel_static  librunnel.a, one object in which only the rnl_ functions are visible. Installed.
#   runnel_shared  librunnel.so, likewise. Installed.
#
# The installed static library is joined into one object first: hidden visibility holds for shared
# libraries only, and inner names such as arena_take must not meet those of a user's program.

set(RUNNEL_LINK_INSIDE PkgConfig::FFTW PkgConfig::SAMPLERATE PkgConfig::JANSSON PkgConfig::SPEEXDSP
  Threads::Threads m)
# In an installed package the same, under the names that runnel-config.cmake gives them.
set(RUNNEL_LINK_OUTSIDE PkgConfig::RUNNEL_FFTW PkgConfig::RUNNEL_SAMPLERATE
  PkgConfig::RUNNEL_JANSSON PkgConfig::RUNNEL_SPEEXDSP Threads::Threads m)

function(runnel_library_properties target)
  target_include_directories(${target} PUBLIC
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include> $<INSTALL_INTERFACE:include>)
  if(RUNNEL_SANITIZE)
    target_link_options(${target} PUBLIC -fsanitize=${RUNNEL_SANITIZE})
  endif()
endfunction()

add_library(runnel STATIC $<TARGET_OBJECTS:runnel_objects>)
set_target_properties(runnel PROPERTIES OUTPUT_NAME runnel_inner LINKER_LANGUAGE C)
runnel_library_properties(runnel)
target_link_libraries(runnel PUBLIC ${RUNNEL_LINK_INSIDE})

find_program(RUNNEL_OBJCOPY NAMES ${CMAKE_OBJCOPY} objcopy REQUIRED)
set(joined ${PROJECT_BINARY_DIR}/runnel_joined.o)
add_custom_command(OUTPUT ${joined}
  COMMAND ${CMAKE_C_COMPILER} -nostdlib -r -o ${joined} $<TARGET_OBJECTS:runnel_objects>
  COMMAND ${RUNNEL_OBJCOPY} --localize-hidden ${joined}
  DEPENDS runnel_objects $<TARGET_OBJECTS:runnel_objects>
  COMMAND_EXPAND_LISTS VERBATIM COMMENT "Joining the library into one object")
set_source_files_properties(${joined} PROPERTIES EXTERNAL_OBJECT TRUE GENERATED TRUE)
add_library(runnel_static STATIC ${joined})
set_target_properties(runnel_static PROPERTIES OUTPUT_NAME runnel LINKER_LANGUAGE C)
runnel_library_properties(runnel_static)
foreach(inside outside IN ZIP_LISTS RUNNEL_LINK_INSIDE RUNNEL_LINK_OUTSIDE)
  target_link_libraries(runnel_static PUBLIC
    $<BUILD_INTERFACE:${inside}> $<INSTALL_INTERFACE:${outside}>)
endforeach()

add_library(runnel_shared SHARED $<TARGET_OBJECTS:runnel_objects>)
set_target_properties(runnel_shared PROPERTIES OUTPUT_NAME runnel LINKER_LANGUAGE C
  VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR})
runnel_library_properties(runnel_shared)
target_link_libraries(runnel_shared PRIVATE ${RUNNEL_LINK_INSIDE})
if(NOT RUNNEL_SANITIZE) # a sanitizer's own symbols are resolved by the program
  target_link_options(runnel_shared PRIVATE -Wl,--no-undefined)
endif()

add_library(runnel::runnel ALIAS runnel_shared)
add_library(runnel::runnel_static ALIAS runnel_static)
