# `cmake --install` puts these in place, below DESTDIR and the prefix: the program, its unit, the entries of sysusers,
# tmpfiles and logrotate, manual pages, completions, documents and the example configuration. None of them is the
# machine's own configuration: /etc/boxedge/boxedge.yaml is the operator's.
include(GNUInstallDirs)
set(BOXEDGE_ZSH_DIR ${CMAKE_INSTALL_DATADIR}/zsh/site-functions CACHE STRING "where zsh looks for completions")
set(BOXEDGE_LIB_DIR lib CACHE STRING "where systemd looks for units, below the prefix or absolute")

if(BOXEDGE_PREBUILT)
  set(program ${BOXEDGE_PREBUILT})
  install(PROGRAMS ${program} DESTINATION ${CMAKE_INSTALL_BINDIR} RENAME boxedge)
else()
  set(program $<TARGET_FILE:boxedge>)
  set(program_target boxedge)
  install(TARGETS boxedge DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()

# The program prints the contents of the pages and completions.
find_package(Python3 REQUIRED COMPONENTS Interpreter)
set(manual ${CMAKE_BINARY_DIR}/manual)
file(GLOB manual_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/deploy/manual/*)
set(manual_files ${manual}/boxedge.1 ${manual}/boxedge.yaml.5 ${manual}/boxedge.bash ${manual}/_boxedge
                 ${manual}/boxedge.fish)
add_custom_command(
  OUTPUT ${manual_files}
  COMMAND ${Python3_EXECUTABLE} -B ${CMAKE_SOURCE_DIR}/deploy/manual/make ${program} ${manual}
  DEPENDS ${program_target} ${BOXEDGE_PREBUILT} ${manual_sources}
  VERBATIM)
add_custom_target(manual ALL DEPENDS ${manual_files})

install(FILES ${manual}/boxedge.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
install(FILES ${manual}/boxedge.yaml.5 DESTINATION ${CMAKE_INSTALL_MANDIR}/man5)
install(FILES ${manual}/boxedge.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME boxedge)
install(FILES ${manual}/_boxedge DESTINATION ${BOXEDGE_ZSH_DIR})
install(FILES ${manual}/boxedge.fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
install(FILES deploy/boxedge.sysusers DESTINATION lib/sysusers.d RENAME boxedge.conf)
install(FILES deploy/boxedge.tmpfiles DESTINATION lib/tmpfiles.d RENAME boxedge.conf)
install(FILES deploy/boxedge.logrotate DESTINATION ${CMAKE_INSTALL_SYSCONFDIR}/logrotate.d RENAME boxedge)
install(PROGRAMS deploy/hand-over DESTINATION ${CMAKE_INSTALL_LIBEXECDIR}/boxedge)
install(FILES README.md CHANGELOG.md SECURITY.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(DIRECTORY docs/ DESTINATION ${CMAKE_INSTALL_DOCDIR} FILES_MATCHING PATTERN "*.md" PATTERN "*.yaml")
install(FILES deploy/without-process-boxes.conf DESTINATION ${CMAKE_INSTALL_DOCDIR}/examples)
install(FILES deploy/boxedge.example.yaml DESTINATION ${CMAKE_INSTALL_DOCDIR}/examples RENAME boxedge.yaml)
install(FILES deploy/prometheus/boxedge.rules.yaml deploy/prometheus/prometheus.yaml
        DESTINATION ${CMAKE_INSTALL_DOCDIR}/examples/prometheus)
install(FILES deploy/grafana/boxedge.json DESTINATION ${CMAKE_INSTALL_DOCDIR}/examples/grafana)

# The units contain the paths of the program and the documents, which only the install knows (--prefix).
foreach(name boxedge.service boxedge.socket)
  set(unit_out ${CMAKE_BINARY_DIR}/${name})
  install(CODE "
    file(READ \"${CMAKE_SOURCE_DIR}/deploy/${name}\" unit)
    string(REPLACE /usr/local/bin \"\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_BINDIR}\" unit \"\${unit}\")
    string(REPLACE /usr/local/share/doc/boxedge \"\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_DOCDIR}\" unit \"\${unit}\")
    file(REMOVE \"${unit_out}\") # another user may have installed before
    file(WRITE \"${unit_out}\" \"\${unit}\")")
  install(FILES ${unit_out} DESTINATION ${BOXEDGE_LIB_DIR}/systemd/system)
endforeach()
