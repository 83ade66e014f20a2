# Files as a C source:
# cmake -D OUT=FILE.c -D FOLDER=FOLDER -D FILES=index.html,app.js -P embed.cmake
# index.html becomes the path "/", any other the path of its name. See serve/page.h.
string(REPLACE "," ";" FILES "${FILES}")
set(text "/* Written by cmake/embed.cmake. */\n#include \"serve/page.h\"\n")
set(rows "")
set(type_html "text/html; charset=utf-8")
set(type_css "text/css; charset=utf-8")
set(type_js "text/javascript; charset=utf-8")
set(number 0)
foreach(name ${FILES})
  set(file "${FOLDER}/${name}")
  file(READ "${file}" bytes HEX)
  file(SHA256 "${file}" sum)
  file(SIZE "${file}" size)
  string(REGEX MATCH "[a-z]+$" kind "${name}")
  set(path "/${name}")
  if(name STREQUAL "index.html")
    set(path "/")
  endif()
  string(REGEX REPLACE "(..)" "0x\\1," bytes "${bytes}")
  string(REGEX REPLACE "(0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,)" "\\1\n"
    bytes "${bytes}")
  string(APPEND text "static const unsigned char file_${number}[] = {\n${bytes}};\n")
  string(APPEND rows
    "{\"${path}\", \"${type_${kind}}\", \"\\\"${sum}\\\"\", file_${number}, ${size}},\n")
  math(EXPR number "${number} + 1")
endforeach()
string(APPEND text "const page_file page_files[] = {\n${rows}};\n"
  "const size_t page_file_count = ${number};\n")
file(WRITE "${OUT}" "${text}")
