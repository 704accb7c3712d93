import GarbageCollection
import Testing

@Suite struct ObjectGraphTests {
  /// A graph from a drawing: "a>b c" is a thing and what it needs, "*a" is a root.
  static func graph(_ lines: String...) -> ObjectGraph { graph(lines) }

  static func graph(_ lines: [String]) -> ObjectGraph {
    var graph = ObjectGraph()
    for line in lines {
      let parts = line.split(separator: ">", omittingEmptySubsequences: false)
      let isRoot = parts[0].hasPrefix("*")
      let others = parts.count > 1 ? parts[1].split(separator: " ").map { ObjectNode.layer(String($0)) } : []
      graph.add(.layer(String(parts[0].drop { $0 == "*" })), needs: others, isRoot: isRoot)
    }
    return graph
  }

  static func names(_ nodes: some Sequence<ObjectNode>) -> [String] {
    nodes.map { node in if case .layer(let name) = node { name } else { "\(node)" } }
  }

  @Test func nothingGoesOfNothing() {
    #expect(ObjectGraph().garbage.isEmpty)
    #expect(ObjectGraph().reachable.isEmpty)
  }

  /// Drawings and what goes of them.
  static let shapes: [(lines: [String], gone: Set<String>)] = [
    (["a>b", "b>c", "c"], ["a", "b", "c"]),
    (["*a>b", "b>c", "c"], []),
    (["*a>b", "b", "c>b"], ["c"]),
    (["a>b c", "b>d", "c>d", "*d"], ["a", "b", "c"]),
    (["*a>gone", "b>gone"], ["b"]),
    (["a>b", "b>a", "*c"], ["a", "b"]),
    (["*a>a", "b>b"], ["b"]),
    (["*a>b", "b>c", "c>b", "d>c"], ["d"]),
  ]

  @Test(arguments: shapes) func whatNoRootNeedsGoes(_ lines: [String], _ gone: Set<String>) {
    #expect(Set(Self.names(Self.graph(lines).garbage)) == gone)
  }

  @Test func whatNeedsGoesBeforeWhatIsNeeded() {
    let garbage = Self.names(Self.graph("d", "b>d", "c>d", "a>b c").garbage)
    #expect(garbage.first == "a" && garbage.last == "d")
    #expect(garbage.count == 4)
  }

  @Test func kindsWithOneNameAreDifferentThings() {
    var graph = ObjectGraph()
    graph.add(.image("x"), needs: [.blob("x")], isRoot: true)
    graph.add(.blob("x"))
    graph.add(.layer("x"))
    graph.add(.lease("l"), needs: [.content("x")], isRoot: true)
    graph.add(.content("x"))
    #expect(graph.garbage == [.layer("x")])
  }

  @Test func addedTwiceAThingNeedsBoth() {
    var graph = ObjectGraph()
    graph.add(.image("i"), needs: [.blob("a")], isRoot: true)
    graph.add(.image("i"), needs: [.blob("b")])
    for name in ["a", "b", "c"] { graph.add(.blob(name)) }
    #expect(graph.garbage == [.blob("c")])
  }

  @Test func damageIsWhatReachableThingsMiss() {
    let graph = Self.graph("*a>b gone", "b>gone lost", "c>other")
    #expect(Set(graph.missing.keys) == [.layer("gone"), .layer("lost")])
    #expect(Set(graph.missing[.layer("gone")] ?? []) == [.layer("a"), .layer("b")])
    #expect(Set(Self.names(graph.dependents(of: .layer("lost")))) == ["lost", "b", "a"])
  }

  @Test func depthIsNoRecursion() {
    var graph = ObjectGraph()
    for number in 0..<200_000 { graph.add(.layer("\(number)"), needs: [.layer("\(number + 1)")]) }
    #expect(graph.garbage.count == 200_000)
    graph.add(.name("n"), needs: [.layer("0")], isRoot: true)
    #expect(graph.garbage.isEmpty)
  }

  /// Against the definition: what goes is what no path from a root leads to.
  @Test(arguments: 0..<300) func agreesWithTheModel(_ seed: UInt64) {
    var random = SplitMix(state: seed)
    let count = Int.random(in: 1...24, using: &random)
    let density = Int.random(in: 1...8, using: &random)
    var edges: [[Int]] = Array(repeating: [], count: count)
    var exists = Array(repeating: true, count: count)
    var isRoot = Array(repeating: false, count: count)
    for node in 0..<count {
      exists[node] = Int.random(in: 0..<10, using: &random) > 0
      isRoot[node] = Int.random(in: 0..<6, using: &random) == 0
      for _ in 0..<Int.random(in: 0...density, using: &random) {
        edges[node].append(Int.random(in: 0..<count, using: &random))
      }
    }
    var graph = ObjectGraph()
    for node in (0..<count).shuffled(using: &random) where exists[node] {
      graph.add(.blob("\(node)"), needs: edges[node].map { .blob("\($0)") }, isRoot: isRoot[node])
    }
    // The model: the closure of the relation by repetition.
    var kept = (0..<count).map { exists[$0] && isRoot[$0] }
    var changed = true
    while changed {
      changed = false
      for node in 0..<count where kept[node] {
        for other in edges[node] where exists[other] && !kept[other] {
          kept[other] = true
          changed = true
        }
      }
    }
    let garbage = graph.garbage
    #expect(Set(garbage) == Set((0..<count).filter { exists[$0] && !kept[$0] }.map { .blob("\($0)") }))
    #expect(Set(garbage).count == garbage.count)
    #expect(graph.reachable == Set((0..<count).filter { kept[$0] }.map { .blob("\($0)") }))
    let missing = Set((0..<count).filter { kept[$0] }.flatMap { edges[$0] }.filter { !exists[$0] })
    #expect(Set(graph.missing.keys) == Set(missing.map { .blob("\($0)") }))
  }

  /// In graphs without circles a thing never stands behind what it needs.
  @Test(arguments: 0..<100) func orderHoldsInRandomGraphs(_ seed: UInt64) {
    var random = SplitMix(state: seed)
    let count = Int.random(in: 2...40, using: &random)
    var graph = ObjectGraph()
    var edges: [(Int, Int)] = []
    for node in (0..<count).shuffled(using: &random) {
      let others = (0..<3).map { _ in Int.random(in: node...count, using: &random) }.filter { $0 != node }
      edges += others.map { (node, $0) }
      graph.add(.blob("\(node)"), needs: others.map { .blob("\($0)") })
    }
    let places = Dictionary(uniqueKeysWithValues: graph.garbage.enumerated().map { ($1, $0) })
    for (user, other) in edges {
      guard let first = places[.blob("\(user)")], let second = places[.blob("\(other)")] else { continue }
      #expect(first < second)
    }
  }
}

/// A generator whose numbers a seed decides.
struct SplitMix: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
    return mixed ^ (mixed >> 31)
  }
}
