/// One thing that is kept or goes.
///
///     name ──► image ──► blob            (manifest, configuration, layers)
///                 │
///                 └────► layer ──► layer (the one below)
///                          │
///     snapshot ────────────┘──► content  (the folder with its files)
///     container ─► image, snapshot
///     lease, call ─► anything
public enum ObjectNode: Hashable, Sendable {
  /// A name with its tag.
  case name(String)
  /// An image by its manifest's digest.
  case image(String)
  /// A file of the content store, by digest.
  case blob(String)
  /// A stack of layers, by chainID.
  case layer(String)
  /// The files of one layer, by whatever its owner calls the folder.
  case content(String)
  /// A writable or read-only snapshot, by key.
  case snapshot(String)
  /// A container, by id.
  case container(String)
  /// Work that has an expiry, by its lease's name.
  case lease(String)
  /// A call that runs in the service itself.
  case call(String)
}

/// What exists and what needs what. No I/O: a service fills it from its rows and files, asks what is unreachable, and
/// removes that.
public struct ObjectGraph: Sendable {
  private var needs: [ObjectNode: [ObjectNode]] = [:]
  private var order: [ObjectNode] = []
  private var roots: [ObjectNode] = []

  /// A graph of nothing.
  public init() {}

  /// Adds a thing that exists, and what it needs, which may be added before, later or never. Added twice, it needs both.
  ///
  /// - Parameter isRoot: whether it stays whatever else does.
  public mutating func add(_ node: ObjectNode, needs others: [ObjectNode] = [], isRoot: Bool = false) {
    if needs[node] == nil {
      needs[node] = others
      order.append(node)
    } else {
      needs[node]?.append(contentsOf: others)
    }
    if isRoot { roots.append(node) }
  }

  /// Everything that some root needs, directly or through others, and the roots themselves.
  public var reachable: Set<ObjectNode> {
    var seen: Set<ObjectNode> = []
    var waiting = roots
    while let node = waiting.popLast() {
      guard let others = needs[node], seen.insert(node).inserted else { continue }
      waiting.append(contentsOf: others)
    }
    return seen
  }

  /// What goes: everything that exists and that no root needs. Nothing stands before a thing that needs it, so that a
  /// removal that stops in the middle leaves nothing without what it needs.
  public var garbage: [ObjectNode] {
    let kept = reachable
    var seen = kept
    var finished: [ObjectNode] = []
    for start in order where seen.insert(start).inserted {
      var path: [(node: ObjectNode, next: Int)] = [(start, 0)]
      while let (node, next) = path.last {
        let others = needs[node] ?? []
        guard next < others.count else {
          finished.append(node)
          path.removeLast()
          continue
        }
        path[path.count - 1].next += 1
        let other = others[next]
        if needs[other] != nil, seen.insert(other).inserted { path.append((other, 0)) }
      }
    }
    return finished.reversed()
  }

  /// What reachable things need that does not exist, each with the things that need it directly: damage.
  public var missing: [ObjectNode: [ObjectNode]] {
    var missing: [ObjectNode: [ObjectNode]] = [:]
    for node in reachable {
      for other in needs[node] ?? [] where needs[other] == nil { missing[other, default: []].append(node) }
    }
    return missing
  }

  /// Everything that needs `node`, directly or through others, and `node` itself.
  public func dependents(of node: ObjectNode) -> Set<ObjectNode> {
    var users: [ObjectNode: [ObjectNode]] = [:]
    for (user, others) in needs { for other in others { users[other, default: []].append(user) } }
    var seen: Set<ObjectNode> = [node]
    var waiting = [node]
    while let node = waiting.popLast() {
      for user in users[node] ?? [] where seen.insert(user).inserted { waiting.append(user) }
    }
    return seen
  }
}
