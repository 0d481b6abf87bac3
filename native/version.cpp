#include "native/version.h"

namespace folio {

const char* program_version() { return FOLIO_VERSION; }

}  // namespace folio
