"""Runs the program of an OCI bundle in a container of the task service: bundle.py BUNDLE [COMMAND...].

Prints what it writes and ends with its exit code. Protocols/TASKS.md explains each step."""
import json
import os
import sys

from gantry_rpc import Service, frames, stream

state = os.environ.get("GANTRY_STATE", "/run/gantry")
tasks = Service(f"{state}/task.sock")

bundle = os.path.abspath(sys.argv[1])
with open(f"{bundle}/config.json") as config:
    spec = json.load(config)
spec["process"]["terminal"] = False
if sys.argv[2:]:
    spec["process"]["args"] = sys.argv[2:]
rootfs = {"type": "bind", "source": os.path.join(bundle, spec["root"]["path"]), "options": ["rbind"]}

# The container is made, and its program runs, in one call. `hold` keeps its output until the stream is there.
name = f"python-{os.getpid()}"
created = tasks.call(
    "task.create", id=name, spec=spec, rootfs=[rootfs], stdin=False, start=True, hold=True,
    attach={"stdin": False, "stdout": True, "stderr": True})
for number, data in frames(stream(created["stream"])):
    (sys.stdout if number == 1 else sys.stderr).buffer.write(data)

# The exit is kept until it is asked for: a caller that was away finds it later.
code = tasks.call("task.wait", id=name)["exit"]["code"]
tasks.call("task.delete", id=name)
sys.exit(code)
