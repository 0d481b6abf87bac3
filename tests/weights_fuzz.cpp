// libFuzzer target: no bytes break the reader, and whatever it takes is written and read back as it was.
//   cmake --preset sanitize && cmake --build --preset sanitize --target weights_fuzz
//   build/sanitize/tests/weights_fuzz -max_total_time=60

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <random>

#include "tests/weights_bytes.h"

using namespace folio;

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);

namespace {

std::size_t put(const std::string& file, std::uint8_t* data, std::size_t max_size) {
    const std::size_t size = std::min(file.size(), max_size);
    std::copy_n(file.begin(), size, data);
    return size;
}

/// A valid file to begin with.
std::string seed_file(unsigned seed) {
    ModelFile model = tiny_model();
    model.config.time_rows = seed % 3 == 0 ? 2 : 0;
    model.parameters.resize(parameter_count(model.config), 0.5f);
    if (seed % 4 == 0) {
        model.process.mask_id = 0;
        model.vocabulary = *Vocabulary::of_list("\uFFFDab\u00e9");
    }
    return written(model, seed % 5 < 2 ? Dtype::i8 : seed % 2 == 0 ? Dtype::f32 : Dtype::f16);
}

}  // namespace

/// Starts from valid files, and keeps the header's length true: else hardly a mutation comes past the first check.
extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned seed) {
    std::minstd_rand random(seed);
    if (size < 64 || random() % 200 == 0) return put(seed_file(seed), data, max_size);
    if (random() % 50 == 0) return LLVMFuzzerMutate(data, size, max_size);

    std::uint64_t length;
    std::memcpy(&length, data, 8);
    length = std::min<std::uint64_t>(length, size - 8);
    const std::string text(reinterpret_cast<const char*>(data), size);
    std::string header = text.substr(8, length), rest = text.substr(8 + length);
    std::string& part = random() % 8 == 0 ? rest : header;
    const auto kind = random() % 4;
    const std::size_t place = part.empty() ? 0 : random() % part.size();
    if (const auto digit = part.find_first_of("0123456789", place); kind < 2 && digit != part.npos) {
        // One digit for another keeps the JSON whole.
        part[digit] = static_cast<char>('0' + random() % 10);
    } else if (kind == 2 && !part.empty()) {
        part[place] = "0123456789,[]{}:\"\\aF-. "[random() % 24];
    } else {
        const std::size_t room = part.size() + std::min<std::size_t>(64, max_size - size);
        std::string buffer = part;
        buffer.resize(std::max<std::size_t>(room, 1));
        buffer.resize(LLVMFuzzerMutate(reinterpret_cast<std::uint8_t*>(buffer.data()), part.size(), buffer.size()));
        part = buffer;
    }
    return put(file_of(header, rest), data, max_size);
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto model = read_model(std::as_bytes(std::span(data, size)));
    if (!model) {
        const std::string& sentence = model.error().sentence;
        const bool clean =
            std::none_of(sentence.begin(), sentence.end(), [](unsigned char c) { return c < 0x20 || c == 0x7F; });
        if (sentence.empty() || sentence.size() > 600 || !clean) std::abort();
        return 0;
    }
    const std::string again = written(*model);
    const auto back = read_model(bytes(again));
    if (!back || !same(*model, *back)) std::abort();
    return 0;
}
