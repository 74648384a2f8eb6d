# assay_room(NAME DEPS...): one static library of the .cc files (and, with CUDA, .cu files and cuda_*.cc) of the current folder.
# Files that need CUDA are named cuda_*.cc or *.cu; adding a file to a folder needs no edit here.
set(ASSAY_WARNINGS -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion -Wnon-virtual-dtor)
# GCC sees overlapping copies in std::string that cannot happen (GCC bugs 105329, 105651), and from 13 on references to
# temporaries wherever a function that returns one also takes a temporary (GCC bug 109642).
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  list(APPEND ASSAY_WARNINGS -Wno-restrict -Wno-dangling-reference)
  # Under sanitizers it sees uninitialised members of empty optionals and functions (GCC bugs 80635, 105562).
  if(ASSAY_SANITIZE)
    list(APPEND ASSAY_WARNINGS -Wno-maybe-uninitialized)
  endif()
endif()

# Clang warns of loops that it could not vectorise, which without optimisation is all of them.
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  list(APPEND ASSAY_WARNINGS -Wno-pass-failed)
endif()

function(assay_flags target)
  target_include_directories(${target} PUBLIC ${PROJECT_SOURCE_DIR})
  target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:${ASSAY_WARNINGS}>)
  if(ASSAY_WERROR)
    target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-Werror> $<$<COMPILE_LANGUAGE:CUDA>:-Werror=all-warnings>)
  endif()
  if(ASSAY_SANITIZE)
    target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-fsanitize=${ASSAY_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all -g1>)
    target_link_options(${target} PUBLIC -fsanitize=${ASSAY_SANITIZE})
  endif()
  if(ASSAY_FUZZ)
    target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-fsanitize=fuzzer-no-link>)
  endif()
  if(ASSAY_HAS_CUDA)
    # nvcc's front end cannot evaluate fmt's compile-time check of format strings.
    target_compile_definitions(${target} PRIVATE ASSAY_HAS_CUDA=1 $<$<COMPILE_LANGUAGE:CUDA>:FMT_CONSTEVAL=>
                               $<$<COMPILE_LANGUAGE:CUDA>:FMT_USE_CONSTEXPR=1>)
  endif()
endfunction()

function(assay_sources out)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cc)
  if(ASSAY_HAS_CUDA)
    file(GLOB cuda CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cu ${CMAKE_CURRENT_SOURCE_DIR}/kernels/*.cu)
    list(APPEND sources ${cuda})
  else()
    list(FILTER sources EXCLUDE REGEX "/cuda_[^/]*\\.cc$")
  endif()
  set(${out} ${sources} PARENT_SCOPE)
endfunction()

function(assay_room name)
  assay_sources(sources)
  list(FILTER sources EXCLUDE REGEX "_test\\.cc$")
  if(NOT sources)
    add_library(${name} INTERFACE)
    target_include_directories(${name} INTERFACE ${PROJECT_SOURCE_DIR})
    target_link_libraries(${name} INTERFACE ${ARGN})
    return()
  endif()
  add_library(${name} STATIC ${sources})
  assay_flags(${name})
  target_link_libraries(${name} PUBLIC ${ARGN})
  if(ASSAY_HAS_CUDA)
    target_link_libraries(${name} PUBLIC CUDA::cudart_static)
    set_target_properties(${name} PROPERTIES CUDA_SEPARABLE_COMPILATION OFF)
  endif()
endfunction()

# assay_program(NAME DEPS...): an executable of the .cc files of the current folder.
function(assay_program name)
  assay_sources(sources)
  assay_executable(${name} "${sources}" ${ARGN})
endfunction()

function(assay_executable name sources)
  add_executable(${name} ${sources})
  assay_flags(${name})
  target_link_libraries(${name} PRIVATE ${ARGN})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bin)
endfunction()

# Code whose own speed nobody waits for: -O1 takes a third less to compile. Products are fused as in other builds.
function(assay_compiles_fast target)
  target_compile_options(${target} PRIVATE $<$<AND:$<CONFIG:Release>,$<COMPILE_LANGUAGE:CXX>>:-O1>)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-fexpensive-optimizations>)
  endif()
endfunction()

include(GoogleTest)
# assay_tests(NAME DEPS...): one gtest program of the .cc files of the current folder, found by CTest case by case. Where
# assay_room made a library of the folder, the program is of the *_test.cc files, which the library leaves out.
function(assay_tests name)
  assay_sources(sources)
  get_property(libraries DIRECTORY PROPERTY BUILDSYSTEM_TARGETS)
  if(libraries)
    list(FILTER sources INCLUDE REGEX "_test\\.cc$")
  endif()
  assay_executable(${name} "${sources}" ${ARGN} GTest::gtest GTest::gtest_main)
  assay_compiles_fast(${name})
  # Without pretty values: they are addresses where a parameter has no text, and a test's name must not change.
  gtest_discover_tests(${name} NO_PRETTY_VALUES DISCOVERY_MODE PRE_TEST DISCOVERY_TIMEOUT 60 PROPERTIES TIMEOUT 600)
endfunction()
