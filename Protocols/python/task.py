"""Runs one program in a container of the task service, and nothing else of Gantry: task.py [ROOTFS [COMMAND...]].

ROOTFS is a folder with a root file system; COMMAND is /bin/true unless given."""
import os
import sys

from gantry_rpc import Service, frames, stream

state = os.environ.get("GANTRY_STATE", "/run/gantry")
tasks = Service(f"{state}/task.sock")
rootfs = os.path.abspath(sys.argv[1]) if sys.argv[1:] else "/"
spec = {
    "ociVersion": "1.2.0",
    "process": {"args": sys.argv[2:] or ["/bin/true"], "cwd": "/", "env": ["PATH=/bin:/usr/bin"],
                "user": {"uid": 0, "gid": 0}},
    "root": {"path": "rootfs", "readonly": True},
    "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
    "linux": {"namespaces": [{"type": kind} for kind in ("pid", "mount", "network", "ipc", "uts", "cgroup")]},
}
name = f"python-{os.getpid()}"
mounts = [{"type": "bind", "source": rootfs, "options": ["rbind", "ro"]}]
created = tasks.call(
    "task.create", id=name, spec=spec, rootfs=mounts, stdin=False, start=True, hold=True,
    attach={"stdin": False, "stdout": True, "stderr": True}, seccomp={"profile": "default"})
for number, data in frames(stream(created["stream"])):
    (sys.stdout if number == 1 else sys.stderr).buffer.write(data)
code = tasks.call("task.wait", id=name)["exit"]["code"]
tasks.call("task.delete", id=name)
sys.exit(code)
