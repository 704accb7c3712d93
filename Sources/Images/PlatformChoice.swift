internal import Faults
internal import OCI

/// Which manifest of an index is meant.
enum PlatformChoice {
  /// Attestations and the like, which accompany images and are none.
  static func isCompanion(_ descriptor: Descriptor) -> Bool {
    descriptor.annotations?[AnnotationKey.dockerReferenceType] != nil
      || (descriptor.platform?.os == "unknown" && descriptor.platform?.architecture == "unknown")
  }

  /// The one of `candidates` that suits `wanted` best, the first of equally good ones, as the specification asks.
  ///
  /// Throws `notFound`, naming what there is.
  static func best(_ candidates: [Descriptor], for wanted: Platform, in what: String) throws(Fault) -> Descriptor {
    var best: (distance: Int, descriptor: Descriptor)?
    for candidate in candidates {
      guard let distance = candidate.platform?.distance(from: wanted) else { continue }
      if best.map({ distance < $0.distance }) ?? true { best = (distance, candidate) }
    }
    if let best { return best.descriptor }
    let offered = candidates.compactMap { $0.platform.map { "\($0)" } }.sorted().prefix(20).joined(separator: ", ")
    throw Fault(
      .notFound,
      candidates.isEmpty ? "\(what) has no image" : "no image of \(what) is for \(wanted.normalized); it has \(offered)"
    )
  }
}
