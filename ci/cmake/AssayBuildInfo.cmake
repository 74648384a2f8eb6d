# assay_build_info(TARGET): compiles into TARGET what it was built from. Compiler and flags are known when CMake configures; the
# commit is looked up by a script on every build, and the file is rewritten only when it changed.
function(assay_build_info target)
  string(TOUPPER ${CMAKE_BUILD_TYPE} type)
  string(STRIP "${CMAKE_CXX_FLAGS} ${CMAKE_CXX_FLAGS_${type}}" flags)
  set(out ${CMAKE_CURRENT_BINARY_DIR}/build_info.cc)
  # Semicolons separate CMake arguments, so lists travel with commas.
  string(REPLACE ";" "," architectures "${CMAKE_CUDA_ARCHITECTURES}")
  add_custom_target(${target}_build_info
    COMMAND ${CMAKE_COMMAND}
            "-DOUT=${out}" "-DTEMPLATE=${PROJECT_SOURCE_DIR}/reports/environment/build_info.cc.in" "-DSOURCE=${PROJECT_SOURCE_DIR}"
            "-DVERSION=${PROJECT_VERSION}" "-DCOMPILER=${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION}"
            "-DBUILD_TYPE=${CMAKE_BUILD_TYPE}" "-DFLAGS=${flags}" "-DSANITIZERS=${ASSAY_SANITIZE}"
            "-DCUDA=$<$<BOOL:${ASSAY_HAS_CUDA}>:${CMAKE_CUDA_COMPILER_VERSION}>"
            "-DARCHITECTURES=$<$<BOOL:${ASSAY_HAS_CUDA}>:${architectures}>"
            -P ${PROJECT_SOURCE_DIR}/ci/cmake/WriteBuildInfo.cmake
    BYPRODUCTS ${out} COMMENT "" VERBATIM)
  set_source_files_properties(${out} PROPERTIES GENERATED ON)
  target_sources(${target} PRIVATE ${out})
  add_dependencies(${target} ${target}_build_info)
endfunction()
