#include "shared_advance.hpp"

namespace fedmpi {

SharedAdvance::SharedAdvance(const std::function<void(std::int64_t)>& advance)
    : advance_{advance}, main_{std::this_thread::get_id()} {}

void SharedAdvance::step(std::int64_t tokens) {
  tokens_ += tokens;
  if (is_on_main_thread()) tell();
  check();
}

void SharedAdvance::check() const {
  rethrow_end();
  if (has_failed_) std::rethrow_exception(failure_);
}

void SharedAdvance::tell() {
  if (has_failed_ || has_ended_) return;
  try {
    advance_(tokens_.exchange(0));
  } catch (const std::exception&) {
    failure_ = std::current_exception();
    has_failed_ = true;
  } catch (...) {
    end();
  }
}

void SharedAdvance::end() {
  if (is_ending_.test_and_set()) return;
  end_ = std::current_exception();
  has_ended_ = true;
}

void SharedAdvance::rethrow_end() const {
  if (has_ended_) std::rethrow_exception(end_);
}

}  // namespace fedmpi
