"""Takes an image into the image service and prints its layers: layers.py ARCHIVE_OR_LAYOUT [NAME].

Each line is a layer, lowest first: its digest uncompressed, its length as it is stored, and the file that holds it. A lease
keeps the files while they are read, whoever removes the image meanwhile. Protocols/IMAGES.md explains it."""
import os
import sys

from gantry_rpc import Service

state = os.environ.get("GANTRY_STATE", "/run/gantry")
images = Service(f"{state}/image.sock")
lease = f"layers-{os.getpid()}"
images.call("image.lease", lease=lease, seconds=600)
taken = images.call("image.importPath", path=os.path.abspath(sys.argv[1]), names=sys.argv[2:3] or None, lease=lease)
for summary in taken["images"]:
    image = images.call("image.resolve", reference=summary["id"], lease=lease)["image"]
    print(f"{(summary['repoTags'] or ['<none>'])[0]} {image['id']}")
    for layer in image["layers"]:
        print(f"  {layer['diffID']} {layer['descriptor']['size']} {layer['path']}")
        assert os.path.getsize(layer["path"]) == layer["descriptor"]["size"]
images.call("image.release", lease=lease)
