import Testing

@testable import Engine

@Suite struct DiskBudgetTests {
  typealias Image = DiskBudget.Image

  private static func image(_ id: String, _ used: Int64, _ parts: Set<String>, mayGo: Bool = true) -> Image {
    Image(id: id, used: used, mayGo: mayGo, parts: parts)
  }

  @Test func withinTheBudgetNothingGoes() {
    let budget = DiskBudget(
      limit: 30, images: [Self.image("a", 1, ["x"]), Self.image("b", 2, ["y"])], sizes: ["x": 10, "y": 20])
    #expect(budget.plan == .init(removed: [], bytes: 30, fits: true))
  }

  @Test func theLongestUnusedGoFirst() {
    let images = [Self.image("new", 3, ["x"]), Self.image("old", 1, ["y"]), Self.image("middle", 2, ["z"])]
    let sizes: [String: Int64] = ["x": 10, "y": 10, "z": 10]
    #expect(DiskBudget(limit: 20, images: images, sizes: sizes).plan.removed == ["old"])
    #expect(DiskBudget(limit: 15, images: images, sizes: sizes).plan.removed == ["old", "middle"])
    #expect(
      DiskBudget(limit: 0, images: images, sizes: sizes).plan
        == .init(removed: ["old", "middle", "new"], bytes: 0, fits: true))
  }

  @Test func whatMayNotGoStaysAndIsTold() {
    let images = [Self.image("used", 1, ["x"], mayGo: false), Self.image("other", 2, ["y"])]
    let plan = DiskBudget(limit: 5, images: images, sizes: ["x": 10, "y": 10]).plan
    #expect(plan == .init(removed: ["other"], bytes: 10, fits: false))
  }

  @Test func whatOthersHaveFreesNothing() {
    // The oldest shares all it has with an image that may not go: removing it would help nobody.
    let images = [
      Self.image("oldest", 1, ["base"]), Self.image("kept", 2, ["base", "own"], mayGo: false),
      Self.image("last", 3, ["x"]),
    ]
    let plan = DiskBudget(limit: 20, images: images, sizes: ["base": 10, "own": 10, "x": 10]).plan
    #expect(plan.removed == ["last"] && plan.fits)
  }

  @Test func severalThatShareGoTogether() {
    let images = [Self.image("a", 1, ["base"]), Self.image("b", 2, ["base"])]
    let plan = DiskBudget(limit: 5, images: images, sizes: ["base": 10]).plan
    #expect(plan == .init(removed: ["a", "b"], bytes: 0, fits: true))
  }

  /// What a plan promises is so: it removes only what may go, counts right, and stops as soon as it fits.
  @Test(arguments: 0..<200) func promisesHold(_ seed: UInt64) {
    var state = seed &* 2_862_933_555_777_941_757 &+ 3_037_000_493
    func random(_ bound: Int) -> Int {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int(state >> 33) % bound
    }
    let sizes = Dictionary(uniqueKeysWithValues: (0..<8).map { ("p\($0)", Int64(random(50))) })
    let images = (0..<(1 + random(7))).map { number in
      Self.image(
        "i\(number)", Int64(random(5)), Set((0..<(1 + random(4))).map { _ in "p\(random(8))" }), mayGo: random(4) > 0)
    }
    let limit = Int64(random(200))
    let plan = DiskBudget(limit: limit, images: images, sizes: sizes).plan
    func taken(_ left: [Image]) -> Int64 { Set(left.flatMap(\.parts)).reduce(0) { $0 + (sizes[$1] ?? 0) } }
    let removed = Set(plan.removed)
    #expect(removed.count == plan.removed.count)
    #expect(images.allSatisfy { $0.mayGo || !removed.contains($0.id) })
    let left = images.filter { !removed.contains($0.id) }
    #expect(taken(left) == plan.bytes)
    #expect(plan.fits == (plan.bytes <= limit))
    if !plan.fits { #expect(left.allSatisfy { !$0.mayGo }) }
    if let last = plan.removed.last {
      #expect(taken(left + images.filter { $0.id == last }) > limit)
    }
  }
}
