# Builds without CUDA have no files named cuda_* and no kernels: other files name them only where they ask for CUDA.
file(GLOB_RECURSE others CONFIGURE_DEPENDS RELATIVE ${PROJECT_SOURCE_DIR}
     ${PROJECT_SOURCE_DIR}/engine/*.cc ${PROJECT_SOURCE_DIR}/oracles/*.cc ${PROJECT_SOURCE_DIR}/suites/*.cc
     ${PROJECT_SOURCE_DIR}/bench/*.cc ${PROJECT_SOURCE_DIR}/reports/*.cc ${PROJECT_SOURCE_DIR}/ci/*.cc)
list(FILTER others EXCLUDE REGEX "/cuda_[^/]*$|/kernels/")
foreach(file ${others})
  file(STRINGS ${PROJECT_SOURCE_DIR}/${file} needs REGEX "^#include \"[^\"]*/(cuda_|kernels/)" LIMIT_COUNT 1)
  file(STRINGS ${PROJECT_SOURCE_DIR}/${file} asks REGEX "ASSAY_HAS_CUDA" LIMIT_COUNT 1)
  if(needs AND NOT asks)
    message(FATAL_ERROR "${file}: '${needs}', which builds without CUDA do not define; name the file cuda_*.cc")
  endif()
endforeach()
