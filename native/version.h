#pragma once

namespace folio {

/// The version of the program, from project() in CMakeLists.txt.
const char* program_version();

}  // namespace folio
