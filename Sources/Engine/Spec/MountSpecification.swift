import OCI
import Protocol

/// One planned mount as the task service takes it. Beside mount(8)'s options there are the runtime's own: `gantry.host` for
/// a file system that belongs to the host's namespaces, `gantry.subpath=` for a part of a volume or image.
struct MountSpecification {
  private let input: SpecBuilder.Input
  private let planned: PlannedMount

  init(_ input: SpecBuilder.Input, _ planned: PlannedMount) {
    self.input = input
    self.planned = planned
  }

  /// The mount; nil for an image whose snapshot is not made yet.
  var mount: RuntimeSpec.Mount? {
    switch planned.kind {
    case .tmpfs:
      return .init(destination: planned.destination, type: "tmpfs", source: "tmpfs", options: planned.options)
    case .bind: return bind(planned.source, [])
    case .volume:
      switch input.volumes[planned.volume ?? ""] ?? .folder {
      case .folder: return bind(planned.source, [])
      case .bind(let device, let options): return bind(device, options)
      case .fileSystem(let type, let device, let options):
        return .init(
          destination: planned.destination, type: type, source: device,
          options: options + ["gantry.host"] + (planned.readOnly ? ["ro"] : []) + ids + part)
      }
    case .image:
      guard let made = input.images[planned.destination] else { return nil }
      return .init(
        destination: planned.destination, type: made.type, source: made.source,
        options: made.options + (made.type == "bind" ? ids : []) + part)
    }
  }

  private var part: [String] { planned.subpath.map { ["gantry.subpath=" + $0] } ?? [] }

  /// Its files have the ids of the container's user namespace: volumes and images always, the host's own folders where
  /// the namespace says so. (The layers of an overlay get them by themselves.)
  private var ids: [String] {
    guard let namespace = input.userNamespace, namespace.mapsBinds || planned.kind != .bind else { return [] }
    return ["idmap"]
  }

  private func bind(_ source: String, _ further: [String]) -> RuntimeSpec.Mount {
    var options = [planned.recursive ? "rbind" : "bind"] + further
    if planned.readOnly {
      // The kernel can make what lies below read-only too since Linux 5.12, which Gantry needs anyway.
      options.append(planned.recursive && planned.readOnlyAtTopOnly != true ? "rro" : "ro")
    } else if !further.contains("ro") {
      options.append("rw")
    }
    if !planned.propagation.isEmpty {
      options.append(planned.propagation)
    } else if !further.contains(where: { $0.hasSuffix("shared") || $0.hasSuffix("slave") || $0.hasSuffix("private") }) {
      options.append("rprivate")
    }
    return .init(destination: planned.destination, type: "bind", source: source, options: options + ids + part)
  }
}
