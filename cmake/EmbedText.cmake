# Writes a C++ file with a function for each text file, named after it (explore.html: explore_html), that returns its contents:
#
#   cmake -DOUT=assets.cpp "-DFILES=explore.html;page.css" -P EmbedText.cmake
#
# Raw strings in pieces: compilers guarantee only 64 KiB per literal.
set(text "// Made by cmake/EmbedText.cmake.\n#include \"apps/pages/assets.h\"\n\nnamespace mirilla::pages::assets {\n")
foreach(file IN LISTS FILES)
  get_filename_component(name "${file}" NAME)
  string(REPLACE "." "_" name "${name}")
  file(READ "${file}" content)
  string(LENGTH "${content}" length)
  set(pieces "")
  set(at 0)
  while(at LESS length)
    string(SUBSTRING "${content}" ${at} 8000 piece)
    string(APPEND pieces "\nR\"mirilla(${piece})mirilla\"")
    math(EXPR at "${at} + 8000")
  endwhile()
  string(APPEND text "\nstd::string_view ${name}() {\n  static constexpr std::string_view kText = ${pieces};\n  return kText;\n}\n")
endforeach()
string(APPEND text "\n}  // namespace mirilla::pages::assets\n")
file(WRITE "${OUT}" "${text}")
