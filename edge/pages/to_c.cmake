# Turns the pages of a folder into C: cmake -DPAGES=<folder> -DOUT=<folder> -P to_c.cmake
#
# Writes page_templates.h and page_templates.c. NAME.html becomes `NAME_html_t`, one value a placeholder, and
# `NAME_html`, which fills them in (template.h). docs/pages.md has the grammar of placeholders.
cmake_minimum_required(VERSION 3.25)

# `text` as a C string literal. '?' is escaped for the sake of trigraphs.
function(to_literal text out)
  string(REGEX REPLACE "([\\\\\"?])" "\\\\\\1" text "${text}")
  string(REPLACE "\n" "\\n\"\n    \"" text "${text}")
  set(${out} "\"${text}\"" PARENT_SCOPE)
endfunction()

# A style without comments and without insignificant white space.
function(read_css file out)
  file(READ "${file}" css)
  string(REGEX REPLACE "/\\*[^*]*\\*+([^/*][^*]*\\*+)*/" "" css "${css}")
  string(REGEX REPLACE "[ \n]*([{},;])[ \n]*" "\\1" css "${css}")
  string(REPLACE ": " ":" css "${css}")
  string(REPLACE ";}" "}" css "${css}")
  string(STRIP "${css}" css)
  set(${out} "${css}" PARENT_SCOPE)
endfunction()

# A script without its lines of comment and without indentation.
function(read_js file out)
  file(READ "${file}" js)
  string(REGEX REPLACE "\n[ \t\n]*" "\n" js "\n${js}")
  string(REGEX REPLACE "\n//[^\n]*" "" js "${js}")
  string(REGEX REPLACE "^\n" "" js "${js}")
  set(${out} "${js}" PARENT_SCOPE)
endfunction()

# Puts styles and scripts in place of the links to them. Pages load nothing from elsewhere.
function(inline_files text out)
  while(text MATCHES "<link rel=\"stylesheet\" href=\"([a-z_]+\\.css)\">")
    set(link "${CMAKE_MATCH_0}")
    read_css("${PAGES}/${CMAKE_MATCH_1}" css)
    string(REPLACE "${link}" "<style>${css}</style>" text "${text}")
  endwhile()
  while(text MATCHES " src=\"([a-z_]+\\.js)\"></script>")
    set(link "${CMAKE_MATCH_0}")
    read_js("${PAGES}/${CMAKE_MATCH_1}" js)
    string(REPLACE "${link}" ">${js}</script>" text "${text}")
  endwhile()
  if(text MATCHES "(<link rel=\"stylesheet\"[^>]*>|<script[^>]* src=[^>]*>)")
    message(FATAL_ERROR "${page}.html: ${CMAKE_MATCH_1}: name a file of this folder, as the other pages do")
  endif()
  set(${out} "${text}" PARENT_SCOPE)
endfunction()

# The page's text: comments around marks, all other comments and the indentation are removed.
function(read_html file out)
  file(READ "${file}" html)
  string(REGEX REPLACE "<!--({{[^}]*}})-->" "\\1" html "${html}")
  string(REGEX REPLACE "<!--[^>]*-->" "" html "${html}")
  string(REGEX REPLACE "\n[ \t\n]*" "\n" html "${html}")
  if(html MATCHES "<!--")
    message(FATAL_ERROR "${page}.html: a comment has a '>' in it")
  endif()
  set(${out} "${html}" PARENT_SCOPE)
endfunction()

# The piece of a text between two marks; nothing for an empty one.
function(markup_piece text out)
  set(${out} "" PARENT_SCOPE)
  if(NOT text STREQUAL "")
    inline_files("${text}" text)
    to_literal("${text}" literal)
    set(${out} "    MARKUP(${literal}),\n" PARENT_SCOPE)
  endif()
endfunction()

# The kind and the name of a mark's piece; `inside` says whether a part is open, before and after.
function(read_mark mark)
  set(kind "")
  if(mark STREQUAL "end" AND inside)
    set(kind TEMPLATE_END)
  elseif(mark MATCHES "^if ([a-z_]+)$" AND NOT inside)
    set(kind TEMPLATE_IF)
  elseif(mark MATCHES "^([a-z_]+)\\|break$")
    set(kind TEMPLATE_BREAKABLE)
  elseif(mark MATCHES "^([a-z_]+)$" AND NOT mark STREQUAL "end")
    set(kind TEMPLATE_VALUE)
  else()
    message(FATAL_ERROR "${page}.html: {{${mark}}} is no mark, or not allowed there (docs/pages.md)")
  endif()
  set(kind ${kind} PARENT_SCOPE)
  set(name "${CMAKE_MATCH_1}" PARENT_SCOPE)
  if(kind STREQUAL TEMPLATE_IF)
    set(inside TRUE PARENT_SCOPE)
  elseif(kind STREQUAL TEMPLATE_END)
    set(inside FALSE PARENT_SCOPE)
  endif()
endfunction()

function(translate page)
  read_html("${PAGES}/${page}.html" rest)
  set(pieces "")
  set(names "")
  set(inside FALSE)
  string(FIND "${rest}" "{{" at)
  while(NOT at EQUAL -1)
    string(SUBSTRING "${rest}" 0 ${at} text)
    string(FIND "${rest}" "}}" end)
    math(EXPR from "${at} + 2")
    math(EXPR length "${end} - ${from}")
    if(length LESS 0)
      message(FATAL_ERROR "${page}.html: a {{ without its }}")
    endif()
    string(SUBSTRING "${rest}" ${from} ${length} mark)
    math(EXPR end "${end} + 2")
    string(SUBSTRING "${rest}" ${end} -1 rest)
    markup_piece("${text}" piece)
    read_mark("${mark}")
    if(kind STREQUAL TEMPLATE_END)
      string(APPEND pieces "${piece}    {.kind = TEMPLATE_END},\n")
    else()
      string(APPEND pieces "${piece}    VALUE(${kind}, ${page}, ${name}),\n")
      list(APPEND names ${name})
    endif()
    string(FIND "${rest}" "{{" at)
  endwhile()
  markup_piece("${rest}" piece)
  string(APPEND pieces "${piece}")
  if(inside)
    message(FATAL_ERROR "${page}.html: an {{if}} without its {{end}}")
  endif()
  list(REMOVE_DUPLICATES names)
  list(JOIN names ", " members)
  set(header "${header}
typedef struct ${page}_html {
    str_t ${members};
} ${page}_html_t;
str_t ${page}_html(arena_t *pool, const ${page}_html_t *values);
" PARENT_SCOPE)
  set(source "${source}
static const template_piece_t ${page}_pieces[] = {
${pieces}};

str_t ${page}_html(arena_t *pool, const ${page}_html_t *values)
{
    return template_fill(pool, ${page}_pieces, sizeof(${page}_pieces) / sizeof(${page}_pieces[0]), values);
}
" PARENT_SCOPE)
endfunction()

set(header "/* Made by edge/pages/to_c.cmake. */
#ifndef BOXEDGE_PAGE_TEMPLATES_H
#define BOXEDGE_PAGE_TEMPLATES_H

#include \"template.h\"
")
set(source "/* Made by edge/pages/to_c.cmake. */
#include \"page_templates.h\"

#include <stddef.h>

#define MARKUP(literal) {.kind = TEMPLATE_MARKUP, .text = {literal, sizeof(literal) - 1}}
#define VALUE(what, page, name)                                              \\
    {.kind = what, .text = {#name, sizeof(#name) - 1}, .offset = offsetof(page##_html_t, name)}
")
file(GLOB pages "${PAGES}/*.html")
foreach(path ${pages})
  get_filename_component(name "${path}" NAME_WE)
  translate(${name})
endforeach()
file(WRITE "${OUT}/page_templates.h" "${header}\n#endif\n")
file(WRITE "${OUT}/page_templates.c" "${source}")
