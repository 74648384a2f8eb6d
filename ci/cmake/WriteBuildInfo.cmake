# Run at build time: writes OUT from TEMPLATE with the commit of SOURCE. Without git (a source archive) the commit is "unknown".
set(COMMIT unknown)
set(DIRTY false)
find_program(git git)
if(git)
  execute_process(COMMAND ${git} -C ${SOURCE} rev-parse HEAD
                  OUTPUT_VARIABLE commit ERROR_QUIET OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE rc)
  if(rc EQUAL 0)
    set(COMMIT ${commit})
    execute_process(COMMAND ${git} -C ${SOURCE} status --porcelain
                    OUTPUT_VARIABLE changes ERROR_QUIET OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE rc)
    if(NOT changes STREQUAL "" OR NOT rc EQUAL 0)
      set(DIRTY true)
    endif()
  endif()
endif()
configure_file(${TEMPLATE} ${OUT} @ONLY)
