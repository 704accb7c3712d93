"""Runs a container and prints what it wrote: gateway.py [IMAGE [COMMAND...]]."""
import os
import sys

from gantry_rpc import Service, frames, stream

state = os.environ.get("GANTRY_STATE", "/run/gantry")
engine = Service(f"{state}/gantry.sock")
image = sys.argv[1] if sys.argv[1:] else "gantry/busybox"
run = engine.call(
    "container.run", config={"Image": image, "Cmd": sys.argv[2:] or ["echo", "hello"]},
    hostConfig={"NetworkMode": "none"}, attach={"stdin": False, "stdout": True, "stderr": True})
for number, data in frames(stream(run["stream"])):
    (sys.stdout if number == 1 else sys.stderr).buffer.write(data)
code = engine.call("container.wait", container=run["id"])["exitCode"]
engine.call("container.remove", container=run["id"])
sys.exit(code)
