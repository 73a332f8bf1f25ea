"""A TensorBoard event file by TensorBoard's own writer: python make_events.py (pip install tensorboard)

The records are those that TensorBoardTests writes; TensorBoard's reader checks them here.
"""
import os
import shutil
import tempfile

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter


def scalars(step, time, **values):
    summary = Summary(value=[Summary.Value(tag=k.replace("_", "/"), simple_value=v) for k, v in values.items()])
    return Event(wall_time=time, step=step, summary=summary)


events = [
    Event(wall_time=1700000000.25, file_version="brain.Event:2"),
    Event(wall_time=1700000000.25, step=300, session_log=SessionLog(status=SessionLog.START)),
    scalars(0, 1700000001.0, loss=2.5, lr=0.0),
    scalars(300, 1700000002.5, loss_code=-1.25, loss_law=float("inf")),
    scalars(3_000_000_000, 1700000003.0, **{"x" * 200: 1e-30}),
]
writer = RecordWriter(open("events.tfevents", "wb"))
for event in events:
    writer.write(event.SerializeToString())
writer.close()

folder = tempfile.mkdtemp()
shutil.copy("events.tfevents", os.path.join(folder, "events.out.tfevents.1700000000.host.1.0"))
reader = EventAccumulator(folder)
reader.Reload()
print({tag: [(e.step, e.value) for e in reader.Scalars(tag)] for tag in reader.Tags()["scalars"]})
