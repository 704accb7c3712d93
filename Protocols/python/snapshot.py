"""Makes a writable snapshot on nothing, shows how to mount it, and removes it: snapshot.py [KEY].

With the layers of an image (image.resolve) given to snapshot.unpack, `parent` is the chainID that it answers."""
import os
import sys

from gantry_rpc import Fault, Service

state = os.environ.get("GANTRY_STATE", "/run/gantry")
snapshots = Service(f"{state}/snapshot.sock")
key = sys.argv[1] if sys.argv[1:] else f"python-{os.getpid()}"
for mount in snapshots.call("snapshot.prepare", key=key)["mounts"]:
    print(f"mount -t {mount['type']} -o {','.join(mount['options'])} {mount['source']} TARGET")
print("usage:", snapshots.call("snapshot.usage", key=key))
snapshots.call("snapshot.remove", keys=[key])
try:
    snapshots.call("snapshot.stat", key=key)
except Fault as fault:
    print(f"removed: {fault.code}: {fault}")
