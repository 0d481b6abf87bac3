# A CUDA compiler that is too old or refuses the host compiler leaves CUDA out with a warning; the project is configured all the same.
# Run in a folder to write into: `cmake -P tests/unusable_nvcc.cmake`.

cmake_minimum_required(VERSION 3.25)
get_filename_component(root "${CMAKE_CURRENT_LIST_DIR}/.." ABSOLUTE)
set(folder "${CMAKE_CURRENT_BINARY_DIR}/unusable_nvcc")

function(expect_without_cuda complaint)
  file(REMOVE_RECURSE "${folder}")
  file(WRITE "${folder}/nvcc" "#!/bin/sh\n${complaint}\nexit 1\n")
  file(CHMOD "${folder}/nvcc" PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE)
  execute_process(
    COMMAND "${CMAKE_COMMAND}" -E env "CUDACXX=${folder}/nvcc" "${CMAKE_COMMAND}" -S "${root}" -B "${folder}/build"
      -DFOLIO_TESTS=OFF -DFOLIO_BENCH=OFF
    RESULT_VARIABLE status OUTPUT_VARIABLE output ERROR_VARIABLE output)
  string(REGEX REPLACE "[ \n]+" " " output "${output}")
  foreach(part "${folder}/nvcc cannot compile" "-DFOLIO_CUDA=OFF" "No CUDA in this build" ${ARGN})
    string(FIND "${output}" "${part}" found)
    if(NOT status EQUAL 0 OR found EQUAL -1)
      message(FATAL_ERROR "Configuring (status ${status}) did not say '${part}': ${output}")
    endif()
  endforeach()
endfunction()

expect_without_cuda("echo \"nvcc fatal   : Value 'c++20' is not defined for option 'std'\" >&2" "Value 'c++20' is not defined")
expect_without_cuda("echo 'error: #error -- unsupported GNU version! gcc versions later than 11 are not supported!' >&2" "unsupported GNU version")
expect_without_cuda("")
file(REMOVE_RECURSE "${folder}")
