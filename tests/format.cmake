# cmake -DCLANG_FORMAT=PROGRAM -P tests/format.cmake, from the top of the tree: fails where the C++ code is not as .clang-format has it.
execute_process(COMMAND ${CLANG_FORMAT} --version OUTPUT_VARIABLE version)
if(NOT version MATCHES "version 14\\.")
  message("Skipped: clang-format 14 is needed, since others format a little differently; this is ${version}")
  return()
endif()
file(GLOB_RECURSE sources core/*.h core/*.cpp core/*.inl native/*.h native/*.cpp native/*.cu native/*.cuh web/wasm/*.h web/wasm/*.cpp
  tests/*.h tests/*.cpp bench/*.h bench/*.cpp)
execute_process(COMMAND ${CLANG_FORMAT} --dry-run --Werror ${sources} RESULT_VARIABLE status ERROR_VARIABLE complaints)
if(NOT status EQUAL 0)
  message(FATAL_ERROR "Not as .clang-format has it; HACKING.md has the command that formats all.\n${complaints}")
endif()
