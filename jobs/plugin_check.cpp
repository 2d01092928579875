#include "plugin_check.hpp"

#include "fedmpi/conformance.hpp"
#include "fedmpi/error.hpp"
#include "fedmpi/plugin.hpp"

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <memory>

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

namespace fedmpi {

namespace {

using Json = nlohmann::ordered_json;

// One line of the pipe: {"begin": check}, {"check": ..., "failure": ...} or {"mistake": sentence}.
void send(int pipe, const Json& message) {
  const std::string line = message.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  for (std::size_t sent = 0; sent < line.size();) {
    const ssize_t written = ::write(pipe, line.data() + sent, line.size() - sent);
    if (written < 0) ::_exit(1);
    sent += static_cast<std::size_t>(written);
  }
}

// In the child.
[[noreturn]] void check(const PluginCheck& request, int pipe) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  const rlimit no_core{0, 0};
  ::setrlimit(RLIMIT_CORE, &no_core);
  std::set_terminate([] { std::abort(); });
  const FindingObserver observer{.begin =
                                     [pipe](const std::string& name) {
                                       send(pipe, {{"begin", name}});
                                     },
                                 .end =
                                     [pipe](const Finding& finding) {
                                       send(pipe, {{"check", finding.check}, {"failure", finding.failure}});
                                     }};
  try {
    observer.begin("loads");
    Plugin plugin;
    try {
      plugin = load_plugin_file(request.file, request.trust ? PluginTrust::any : PluginTrust::own);
    } catch (const UserError& error) {
      observer.end({.check = "loads", .failure = error.what()});
      ::_exit(0);
    }
    observer.end({.check = "loads", .failure = ""});
    check_conformance(plugin, request.settings, observer);
  } catch (const std::exception& error) {
    send(pipe, {{"mistake", one_line(error)}});
  }
  std::fflush(stdout);  // what the plugin printed
  ::_exit(0);
}

class Results {
 public:
  explicit Results(const PluginCheck& request) : request_{request} {}

  void receive(const Json& message) {
    if (message.contains("begin"))
      current_ = message["begin"];
    else if (message.contains("mistake"))
      throw UserError(message["mistake"].get<std::string>());
    else
      add({.check = message["check"], .failure = message["failure"]});
  }

  void ended(int status) {
    if (status == 0) return;
    const std::string how = WIFSIGNALED(status) ? fmt::format("crashed ({})", ::strsignal(WTERMSIG(status)))
                                                : fmt::format("ended the program with status {}", WEXITSTATUS(status));
    add({.check = current_,
         .failure = fmt::format("the plugin {} {} in the check '{}'", request_.file, how, current_)});
  }

  void finish() const {
    if (request_.json) {
      fmt::print("{}\n",
                 Json{{"file", request_.file}, {"passed", first_failure_.empty()}, {"checks", checks_}}.dump(2));
    } else if (first_failure_.empty()) {
      fmt::print("{} passed all {} checks\n", request_.file, checks_.size());
    }
    std::fflush(stdout);
    if (!first_failure_.empty()) throw UserError(first_failure_);
  }

 private:
  void add(const Finding& finding) {
    const bool passed = finding.failure.empty();
    if (!passed && first_failure_.empty()) first_failure_ = finding.failure;
    Json json{{"check", finding.check}, {"passed", passed}};
    if (!passed) json["failure"] = finding.failure;
    checks_.push_back(json);
    // Of a file that cannot be loaded there is nothing to list. The first failure's sentence is what the program ends
    // with.
    const bool is_first = finding.failure == first_failure_;
    if (request_.json || (!passed && checks_.size() == 1)) return;
    fmt::print("{:<32} {}\n", finding.check, passed ? "ok" : is_first ? "FAILED" : "FAILED: " + finding.failure);
    std::fflush(stdout);
  }

  const PluginCheck& request_;
  std::string current_;
  std::string first_failure_;
  Json checks_ = Json::array();
};

}  // namespace

void check_plugin_file(const PluginCheck& request) {
  int ends[2];
  if (::pipe(ends) != 0) throw Error("no pipe could be made to check a plugin by");
  std::fflush(stdout);
  const pid_t child = ::fork();
  if (child < 0) throw Error("no process could be started to check a plugin in");
  if (child == 0) {
    ::close(ends[0]);
    check(request, ends[1]);
  }
  ::close(ends[1]);
  Results results(request);
  const std::unique_ptr<FILE, int (*)(FILE*)> messages(::fdopen(ends[0], "r"), std::fclose);
  char* line = nullptr;
  std::size_t capacity = 0;
  while (::getline(&line, &capacity, messages.get()) > 0) results.receive(Json::parse(line));
  std::free(line);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
  results.ended(status);
  results.finish();
}

}  // namespace fedmpi
