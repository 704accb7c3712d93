"""Leaves streams behind: abandon.py CONTAINER COUNT prints the memory of its shim, gantry-taskd and gantryd before and after.

Each round begins an exec whose client goes away at once, an attach whose client never reads, an attach that nobody comes
for, and resizes of what has ended.
"""
import os
import sys

sys.path.insert(0, os.environ["GANTRY_PYTHON"])
from gantry_rpc import Fault, Service, stream

state, container, count = os.environ["GANTRY_STATE"], sys.argv[1], int(sys.argv[2])
engine = Service(f"{state}/gantry.sock")
task = Service(f"{state}/task.sock")
identifier = engine.call("container.inspect", container=container)["container"]["Id"]
shim = task.call("task.get", id=identifier)["task"]["shimPid"]
pids = {s["name"]: s["pid"] for s in engine.call("system.status")["services"]}
streams = {"stdin": True, "stdout": True, "stderr": True}


def memory(pid):
    """Bytes that are its own: not the pages of its executable, which lie in memory and count as private when it is alone."""
    lines = open(f"/proc/{pid}/smaps_rollup").read().splitlines()
    return sum(int(l.split()[1]) for l in lines if l.startswith("Anonymous:")) * 1024


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def look():
    return [memory(shim), memory(pids["gantry-taskd"]), memory(pids["gantryd"]), descriptors(shim)]


def allowed(*codes):
    kind, fault = sys.exc_info()[:2]
    return kind is Fault and fault.code in codes


def round():
    config = {"Cmd": ["sh", "-c", "yes & sleep 1000"], "AttachStdin": True, "Env": ["FILL=" + "x" * 2000]}
    made = engine.call("container.exec", container=container, config=config, attach=streams)
    abandoned = stream(made["stream"])
    try:
        engine.call("exec.resize", exec=made["exec"], width=80, height=24)
    except Fault:
        assert allowed("conflict", "notFound"), sys.exc_info()
    abandoned.close()
    reading = engine.call("container.attach", container=container, stdin=False, stdout=True, stderr=True)
    stream(reading["stream"]).close()
    try:
        engine.call("container.attach", container=container, stdin=False, stdout=True, stderr=True)
    except Fault:
        assert allowed("limitExceeded"), sys.exc_info()
    assert engine.call("exec.wait", exec=made["exec"])["exitCode"] == 137


for _ in range(count // 4):
    try:
        round()
    except Fault:
        # All promises are taken by streams that nobody came for: they end after 30 s.
        assert allowed("limitExceeded"), sys.exc_info()
before = look()
for number in range(count):
    try:
        round()
    except Fault:
        assert allowed("limitExceeded"), sys.exc_info()
print(*before)
print(*look())
