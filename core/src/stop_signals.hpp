#pragma once

namespace fedmpi {

// From now on until the process ends SIGINT, SIGTERM and SIGUSR1 no longer end it but are noted; a second SIGINT ends
// it at once. May be called again.
void note_stop_signals();

// The same for SIGUSR1 alone, by which schedulers warn that the time is nearly over: it may come while ranks still
// start.
void note_warning_signal();

// Whether one has been noted.
bool stop_signal_noted();

}  // namespace fedmpi
