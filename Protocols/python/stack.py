"""Unpacks layers, changes files on top of them and makes that a layer: stack.py LAYER.tar [LAYER.tar...], lowest first.

Prints what the new layer's stack holds at its top. Protocols/SNAPSHOTS.md explains it. Must run as root, as it mounts; the
mounts are in a mount namespace of its own and end with it."""
import ctypes
import gzip
import hashlib
import os
import subprocess
import sys
import tempfile

from gantry_rpc import Service

state = os.environ.get("GANTRY_STATE", "/run/gantry")
snapshots = Service(f"{state}/snapshot.sock")


def sha256(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def chain(parent, diff):
    """The name of a stack: of the lowest layer its diffID, then a digest over both names."""
    return sha256(f"{parent} {diff}".encode()) if parent else diff


def source(path, parent):
    with open(path, "rb") as file:
        data = file.read()
    diff = sha256(gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data)
    descriptor = {"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": sha256(data), "size": len(data)}
    return {"descriptor": descriptor, "diffID": diff, "chainID": chain(parent, diff), "path": os.path.abspath(path)}


def mount(mounts, target):
    """Mounts what the service said with mount(8), which takes the folders of an overlay in one option."""
    spec = mounts[0]
    lower = [option[10:] for option in spec["options"] if option.startswith("lowerdir+=")]
    options = [option for option in spec["options"] if not option.startswith("lowerdir+=")]
    if lower:
        options.append("lowerdir=" + ":".join(lower))
    subprocess.run(["mount", "-t", spec["type"], "-o", ",".join(options), spec["source"], target], check=True)


layers, top = [], None
for path in sys.argv[1:]:
    layers.append(source(path, top))
    top = layers[-1]["chainID"]
lease, key = f"stack-{os.getpid()}", f"python-{os.getpid()}"
snapshots.call("snapshot.lease", lease=lease, seconds=600)
snapshots.call("snapshot.unpack", layers=layers, lease=lease)

if ctypes.CDLL(None).unshare(0x20000) != 0:  # CLONE_NEWNS
    sys.exit("a mount namespace cannot be made: run as root")
subprocess.run(["mount", "--make-rprivate", "/"], check=True)
with tempfile.TemporaryDirectory() as target:
    mount(snapshots.call("snapshot.prepare", key=key, parent=top)["mounts"], target)
    with open(f"{target}/added", "w") as file:
        file.write("by stack.py\n")
    subprocess.run(["umount", target], check=True)

    committed = chain(top, sha256(key.encode()))  # whoever makes an archive of the changes has a diffID instead
    snapshots.call("snapshot.commit", key=key, chainID=committed, lease=lease)
    mount(snapshots.call("snapshot.view", key=key, parent=committed)["mounts"], target)
    print("\n".join(sorted(os.listdir(target))))
    subprocess.run(["umount", target], check=True)
snapshots.call("snapshot.remove", keys=[key])
snapshots.call("snapshot.release", lease=lease)
