# One translation unit per header, holding nothing but its include: a header that does not compile alone breaks the build.
file(GLOB_RECURSE headers CONFIGURE_DEPENDS RELATIVE ${PROJECT_SOURCE_DIR}
     ${PROJECT_SOURCE_DIR}/engine/*.h ${PROJECT_SOURCE_DIR}/oracles/*.h ${PROJECT_SOURCE_DIR}/suites/*.h
     ${PROJECT_SOURCE_DIR}/bench/*.h ${PROJECT_SOURCE_DIR}/reports/*.h ${PROJECT_SOURCE_DIR}/ci/*.h)
if(NOT ASSAY_HAS_CUDA)
  list(FILTER headers EXCLUDE REGEX "/cuda_[^/]*$|/kernels/")
endif()
set(sources)
foreach(header ${headers})
  string(REPLACE "/" "_" name ${header})
  set(source ${PROJECT_BINARY_DIR}/header_checks/${name}.cc)
  file(CONFIGURE OUTPUT ${source} CONTENT "#include \"${header}\"\n" @ONLY)
  list(APPEND sources ${source})
endforeach()
add_library(assay_header_checks OBJECT ${sources})
assay_flags(assay_header_checks)
target_compile_options(assay_header_checks PRIVATE -O0)
target_link_libraries(assay_header_checks PRIVATE assay_suites CLI11::CLI11)
