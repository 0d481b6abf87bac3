#pragma once

namespace CLI {
class App;
}

/// Each function adds one command to the program: its options, and as its callback what it does. A command ends by
/// returning or by throwing a Failure; what it is asked for goes to stdout, all else to stderr.
namespace folio {

void add_train(CLI::App& program);
void add_sample(CLI::App& program);
void add_infill(CLI::App& program);
void add_eval(CLI::App& program);
void add_logits(CLI::App& program);
void add_export(CLI::App& program);
void add_info(CLI::App& program);
void add_verify(CLI::App& program);
void add_bench(CLI::App& program);

}  // namespace folio
