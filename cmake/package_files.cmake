# Run by CPack between installing and packing: compresses manual pages and changelogs, without a
# time in them.
file(GLOB_RECURSE files "${CPACK_TEMPORARY_DIRECTORY}/*.1" "${CPACK_TEMPORARY_DIRECTORY}/*.Debian")
foreach(file ${files})
  if(file MATCHES "/man/man1/|/changelog.Debian$")
    execute_process(COMMAND gzip -9n ${file} COMMAND_ERROR_IS_FATAL ANY)
  endif()
endforeach()
