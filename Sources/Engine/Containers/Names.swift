/// Names for containers that were given none: an adjective and a noun, `adjective_noun`, lower case.
enum Names {
  private static let adjectives = """
    able agile amber ample airy alert azure balmy basic bold brave breezy brief bright brisk bronze calm candid careful
    cheerful chilly civil clean clear clever cobalt cool copper coral cosy crisp curious daring dapper deep deft direct
    dry dusty eager early earnest easy even exact fair fancy fast fearless festive fine firm fit fleet fluent fond frank
    free fresh frosty gentle giant glad golden good grand grateful green handy happy hardy hazel hearty honest humble
    icy ideal indigo ivory jolly jovial keen kind large lasting lean level light lively lofty loyal lucid lucky lunar
    mellow merry mighty mild mint misty modest neat nimble noble northern olive open orderly patient peaceful placid
    plain playful pleasant plucky polite prime proud prudent quick quiet rapid rare ready regal robust rosy round rustic
    sandy serene sharp shiny silent silver simple sleek smart smooth snowy snug sober solar solid sound southern spry
    stable steady stellar still stout sturdy subtle sunny sure swift tame teal tender thrifty tidy tranquil trim true
    trusty upbeat valiant vast velvet vivid warm wary western wise witty young zesty
    """.split(whereSeparator: \.isWhitespace).map(String.init)

  private static let nouns = """
    acorn alder anchor anvil apple arch arrow aspen badger bamboo barge barley basil bay beacon beaver bell birch bison
    bloom boat bobcat bolt brook canal canyon caravel cargo cedar cello cherry cliff clover coast comet compass condor
    coral crane crate creek cricket curlew cypress dahlia dawn deer delta derrick dingo dock dolphin dove dune eagle
    egret elk elm ember falcon fern ferry field finch fir fjord flint forest forge fox garden gate gecko ginger glacier
    glade grove gull harbor hare harvest hawk hazel heath hedge heron hill hoist hull ibex ibis inlet iris island ivy
    jasper jetty juniper kayak keel kelp kestrel kite koala lagoon lantern larch lark lemur lever lichen lilac lily
    linden loch lotus lynx magpie mallow mango maple marlin marsh marten meadow mesa mill mole moon moose moss mule
    narwhal nectar newt oak oasis orbit orchid osprey otter owl paddle panda parrot peak pear pebble pelican pier pine
    pivot plover plum pond poplar portal prairie puffin pulley quail quarry quartz quay rail rapids raven reed reef ridge
    river robin rook rudder saddle sail salmon sequoia shore shrew sloop sparrow spruce squid starling stork stream
    summit swan tern thicket thistle tide tiger timber toucan tower trail trout tulip tundra valley vessel violet walnut
    walrus wharf willow winch wren yak yarrow zebra zephyr
    """.split(whereSeparator: \.isWhitespace).map(String.init)

  /// A name of two words; after `attempt` clashes it gets a number so that a free one is always found.
  static func generate(attempt: Int = 0) -> String {
    let name = "\(adjectives.randomElement() ?? "plain")_\(nouns.randomElement() ?? "crate")"
    return attempt < 6 ? name : name + String(UInt16.random(in: 1...9999))
  }

  /// Whether `name` is one that Docker takes: `[a-zA-Z0-9][a-zA-Z0-9_.-]+`.
  static func isValid(_ name: String) -> Bool {
    let bytes = Array(name.utf8)
    func letter(_ byte: UInt8) -> Bool {
      (byte >= 48 && byte <= 57) || (byte >= 65 && byte <= 90) || (byte >= 97 && byte <= 122)
    }
    guard bytes.count >= 2, bytes.count <= 255, letter(bytes[0]) else { return false }
    return bytes.dropFirst().allSatisfy { letter($0) || $0 == 95 || $0 == 46 || $0 == 45 }
  }
}

/// Random identifiers in lower-case hex.
enum Identifier {
  /// `count` hex digits from the system's random generator; Docker's ids have 64.
  static func random(digits count: Int = 64) -> String {
    var generator = SystemRandomNumberGenerator()
    let hex: [UInt8] = Array("0123456789abcdef".utf8)
    var bytes: [UInt8] = []
    bytes.reserveCapacity(count)
    while bytes.count < count {
      var word = generator.next() as UInt64
      for _ in 0..<min(16, count - bytes.count) {
        bytes.append(hex[Int(word & 15)])
        word >>= 4
      }
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  /// Whether `text` is made of `digits` lower-case hex digits.
  static func isHex(_ text: some StringProtocol, digits: Int? = nil) -> Bool {
    guard !text.isEmpty, digits == nil || text.utf8.count == digits else { return false }
    return text.utf8.allSatisfy { ($0 >= 48 && $0 <= 57) || ($0 >= 97 && $0 <= 102) }
  }
}
