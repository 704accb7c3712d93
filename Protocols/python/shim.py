"""Asks the shim of a running container directly: shim.py [TASK] (the first one of the task service unless given)."""
import os
import sys

from gantry_rpc import Service

state = os.environ.get("GANTRY_STATE", "/run/gantry")
name = sys.argv[1] if sys.argv[1:] else sorted(os.listdir(f"{state}/tasks"))[0]
folder = os.open(f"{state}/tasks/{name}", os.O_PATH)
shim = Service(f"/proc/self/fd/{folder}/shim.sock")  # the path itself may be longer than an address may be
task = shim.call("shim.state")["task"]
print(f"{task['id']}\t{task['status']}\tpid {task['pid']}")
for pid in shim.call("shim.processes")["pids"]:
    print(f"  {pid}\t{open(f'/proc/{pid}/comm').read().strip()}")
