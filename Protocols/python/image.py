"""Imports an archive through the image service and lists what is there: image.py [ARCHIVE] (or - for standard input).

The image service alone is a content store with names: nothing else of Gantry needs to run."""
import os
import shutil
import sys

from gantry_rpc import Service, stream

state = os.environ.get("GANTRY_STATE", "/run/gantry")
images = Service(f"{state}/image.sock", lambda method, params: None)
if sys.argv[1:] == ["-"]:
    opened = images.call("image.openImport")
    with stream(opened["stream"]) as upload, upload.makefile("wb") as writer:
        shutil.copyfileobj(sys.stdin.buffer, writer)
    images.call("image.finishImport", **{"import": opened["import"]})
elif sys.argv[1:]:
    images.call("image.importPath", path=os.path.abspath(sys.argv[1]))
for image in images.call("image.list", all=True)["images"]:
    names = ", ".join(image["repoTags"]) or "<none>"
    print(f"{names}\t{image['id'][7:19]}\t{image['architecture']}\t{image['size']} bytes")
