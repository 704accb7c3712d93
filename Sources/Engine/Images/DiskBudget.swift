/// Which images go so that images take no more than they may. A pure function: the engine fills it and acts on it.
struct DiskBudget: Sendable {
  /// One image: what it needs, by names that images share.
  struct Image: Sendable, Equatable {
    var id: String
    /// Seconds since 1970.
    var used: Int64
    /// Whether it may go at all: no container, pin or lease has it.
    var mayGo: Bool
    /// Content and layers.
    var parts: Set<String>
  }

  /// What to remove, in this order, and what is taken after it.
  struct Plan: Sendable, Equatable {
    var removed: [String] = []
    var bytes: Int64
    /// Whether that is within the budget.
    var fits: Bool
  }

  /// The most bytes that images may take.
  var limit: Int64
  var images: [Image]
  /// Bytes of each part.
  var sizes: [String: Int64]

  /// The images that were not used for the longest time, as few as are enough. One that frees nothing, because others have
  /// all of its parts, stays.
  var plan: Plan {
    var holders: [String: Int] = [:]
    for image in images { for part in image.parts { holders[part, default: 0] += 1 } }
    var plan = Plan(bytes: holders.keys.reduce(0) { $0 + (sizes[$1] ?? 0) }, fits: true)
    var candidates = images.filter(\.mayGo).sorted { ($0.used, $0.id) < ($1.used, $1.id) }
    while plan.bytes > limit {
      // What frees nothing now may do so once those that share with it are gone: it is asked again after each.
      let next = candidates.firstIndex { image in
        image.parts.contains { holders[$0] == 1 && sizes[$0] ?? 0 > 0 }
      }
      // Nothing frees alone: the oldest goes, as several together may.
      guard let index = next ?? candidates.indices.first else { break }
      let image = candidates.remove(at: index)
      for part in image.parts {
        holders[part, default: 0] -= 1
        if holders[part] == 0 { plan.bytes -= sizes[part] ?? 0 }
      }
      plan.removed.append(image.id)
    }
    plan.fits = plan.bytes <= limit
    return plan
  }
}
