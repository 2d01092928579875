"""TensorBoard's own reader finds in an event file what was measured, and nothing else. Usage: tensorboard_reads.py PROBE"""

import subprocess
import sys
import tempfile
from pathlib import Path

try:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
    from tensorboard.compat.proto.event_pb2 import Event
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

EXPECTED = {
    "central/accuracy": [(0, 0.5), (300, 0.5)],
    "seconds/total": [(0, 2.0), (300, 2.0)],
    "fit/loss": [(300, 0.625)],
    "seconds/fit": [(300, 1.5)],
    "tokens_per_second": [(300, 1e6)],
}

with tempfile.TemporaryDirectory() as directory:
    subprocess.run([sys.argv[1], "write-metrics", directory], check=True, timeout=60)
    accumulator = EventAccumulator(directory)
    accumulator.Reload()
    found = {tag: [(e.step, e.value) for e in accumulator.Scalars(tag)] for tag in accumulator.Tags()["scalars"]}
    assert found == EXPECTED, found
    (path,) = Path(directory).glob("events.out.tfevents.*")
    records = [Event.FromString(record) for record in RawEventFileLoader(str(path)).Load()]
    assert len(records) == 3 and records[0].file_version == "brain.Event:2", records

    # The reader checks the checksums: it must object to one changed byte.
    data = bytearray(path.read_bytes())
    data[-6] ^= 1
    path.write_bytes(data)
    accumulator = EventAccumulator(directory)
    accumulator.Reload()
    assert len(accumulator.Scalars("central/accuracy")) == 1
print("ok")
