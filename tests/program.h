#pragma once

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace folio::test {

namespace fs = std::filesystem;

/// A folder of its own for a test, gone afterwards.
class TemporaryFolder {
public:
    TemporaryFolder() {
        std::string name = (fs::temp_directory_path() / "folio-test-XXXXXX").string();
        if (!::mkdtemp(name.data())) throw std::runtime_error("no temporary folder");
        path_ = name;
    }
    ~TemporaryFolder() { fs::remove_all(path_); }
    TemporaryFolder(const TemporaryFolder&) = delete;
    TemporaryFolder& operator=(const TemporaryFolder&) = delete;

    fs::path operator/(const std::string& name) const { return path_ / name; }

private:
    fs::path path_;
};

inline std::string content_of(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

inline void write(const fs::path& path, const std::string& content) {
    std::ofstream(path, std::ios::binary) << content;
}

/// Variables as NAME=VALUE, set over those of the test.
using Environment = std::vector<std::string>;

/// `folio` at work.
class Program {
public:
    explicit Program(const std::vector<std::string>& arguments, const Environment& extra = {}) {
        posix_spawn_file_actions_t files;
        posix_spawn_file_actions_init(&files);
        const std::string out = (folder_ / "out").string(), err = (folder_ / "err").string();
        posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
        posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, out.c_str(), O_WRONLY | O_CREAT, 0600);
        posix_spawn_file_actions_addopen(&files, STDERR_FILENO, err.c_str(), O_WRONLY | O_CREAT, 0600);
        std::vector<std::string> words{FOLIO_PROGRAM}, variables = extra;
        words.insert(words.end(), arguments.begin(), arguments.end());
        for (char** variable = environ; *variable; ++variable) {
            const std::string name(*variable, std::string(*variable).find('=') + 1);
            const bool overridden =
                std::any_of(extra.begin(), extra.end(), [&](const auto& set) { return set.starts_with(name); });
            if (!overridden) variables.emplace_back(*variable);
        }
        if (posix_spawn(&process_, FOLIO_PROGRAM, &files, nullptr, pointers(words).data(),
                        pointers(variables).data()) != 0) {
            throw std::runtime_error("folio does not start");
        }
        posix_spawn_file_actions_destroy(&files);
    }
    ~Program() {
        if (process_ > 0) {
            ::kill(process_, SIGKILL);
            wait();
        }
    }
    Program(const Program&) = delete;
    Program& operator=(const Program&) = delete;

    void signal(int number) { ::kill(process_, number); }
    /// Waits until the program handles a signal, as its status in /proc has it, or has ended.
    void wait_for_handler(int number) {
        const fs::path status = fs::path("/proc") / std::to_string(process_) / "status";
        while (running()) {
            const std::string content = content_of(status);
            const std::size_t found = content.find("SigCgt:");
            if (found != content.npos && (std::stoull(content.substr(found + 7), nullptr, 16) >> (number - 1) & 1))
                return;
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
    }
    bool running() {
        if (process_ > 0 && ::waitpid(process_, &status_, WNOHANG) == process_) process_ = 0;
        return process_ > 0;
    }
    /// The exit code, or minus the signal that ended it.
    int wait() {
        if (process_ > 0) ::waitpid(process_, &status_, 0);
        process_ = 0;
        return WIFEXITED(status_) ? WEXITSTATUS(status_) : -WTERMSIG(status_);
    }
    std::string out() const { return content_of(folder_ / "out"); }
    std::string err() const { return content_of(folder_ / "err"); }

private:
    static std::vector<char*> pointers(std::vector<std::string>& words) {
        std::vector<char*> result;
        for (std::string& word : words) result.push_back(word.data());
        result.push_back(nullptr);
        return result;
    }

    TemporaryFolder folder_;
    pid_t process_ = 0;
    int status_ = 0;
};

struct Outcome {
    int code;
    std::string out, err;
};

inline Outcome folio(const std::vector<std::string>& arguments, const Environment& extra = {}) {
    Program program(arguments, extra);
    const int code = program.wait();
    return {code, program.out(), program.err()};
}

/// True if a text is one sentence on one line, without anything that steers a terminal.
inline bool is_one_sentence(const std::string& text) {
    return text.size() > 10 && text.ends_with(".\n") && std::count(text.begin(), text.end(), '\n') == 1 &&
           std::none_of(text.begin(), text.end() - 1,
                        [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; });
}

}  // namespace folio::test
