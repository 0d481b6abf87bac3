#pragma once

namespace folio {

/// The text of bench/report.schema.json, which the page reads too.
extern const char* const bench_report_schema;

}  // namespace folio
