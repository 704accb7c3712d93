import Faults
import Glibc
import JSONRPC
import Protocol
import SystemPackage

// image-example PATH [NAME]: takes an image archive, or the folder of an OCI layout, into the image service and prints its
// layers. Protocols/IMAGES.md explains it; Protocols/python/layers.py is the same in Python.

/// Imports what is at `path` and prints each layer with its file.
func run(_ path: String, _ name: String?) throws {
  let state = getenv("GANTRY_STATE").map { String(cString: $0) } ?? "/run/gantry"
  let images = try BlockingConnection(path: FilePath("\(state)/image.sock"))
  // What is taken in under the lease stays until it is released, whoever removes the image meanwhile.
  let lease = "swift-\(getpid())"
  _ = try images.call(ImageAPI.Method.lease, ImageAPI.LeaseParams(lease: lease, seconds: 600))
  let taken = try images.call(
    ImageAPI.Method.importPath,
    ImageAPI.ImportPathParams(path: path, names: name.map { [$0] }, lease: lease))
  for summary in taken.images {
    let image = try images.call(
      ImageAPI.Method.resolve, ImageAPI.ResolveParams(reference: summary.id, lease: lease)
    ).image
    print(summary.repoTags.first ?? "<none>", image.id)
    for layer in image.layers { print(" ", layer.diffID, layer.descriptor.size, layer.path) }
  }
  _ = try images.call(ImageAPI.Method.release, ImageAPI.ReleaseParams(lease: lease))
}

guard CommandLine.arguments.count > 1 else {
  print("usage: image-example PATH [NAME]")
  exit(2)
}
do {
  try run(CommandLine.arguments[1], CommandLine.arguments.dropFirst(2).first)
} catch {
  print("image-example: \(error)")
  exit(1)
}
