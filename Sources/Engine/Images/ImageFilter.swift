import Faults
import OCI
import Protocol

/// Which images a list shows, by Docker's rules.
struct ImageFilter: Sendable {
  private static let known: Set<String> = ["before", "dangling", "label", "label!", "reference", "since", "until"]

  private let filters: Filters
  private let dangling: Bool?
  private var before: Timestamp?
  private var since: Timestamp?

  /// - Parameter created: when an image that `before` or `since` names was made; throws when there is none.
  init(_ filters: Filters, created: (String) async throws -> Timestamp) async throws {
    try filters.refuseUnknown(Self.known)
    self.filters = filters
    dangling = try filters.boolean("dangling")
    if let name = filters["before"]?.last { before = try await created(name) }
    if let name = filters["since"]?.last { since = try await created(name) }
    for text in filters["until"] ?? [] {
      guard let moment = Timestamp(argument: text) else {
        throw Fault(.invalidArgument, "invalid filter 'until=\(text)': give a time or a length of time such as 24h")
      }
      before = before.map { min($0, moment) } ?? moment
    }
  }

  /// The image with the names that the filters leave; nil when none is left.
  func apply(_ image: ImageSummary) -> ImageSummary? {
    if let dangling, image.dangling != dangling { return nil }
    let created = Timestamp(rfc3339: image.created) ?? Timestamp(nanoseconds: 0)
    if let before, created >= before { return nil }
    if let since, created <= since { return nil }
    guard filters.matchesLabels(image.labels) else { return nil }
    guard let patterns = filters["reference"] else { return image }
    var image = image
    image.repoTags = image.repoTags.filter { name in patterns.contains { Self.matches($0, name) } }
    image.repoDigests = image.repoDigests.filter { name in patterns.contains { Self.matches($0, name) } }
    return image.repoTags.isEmpty && image.repoDigests.isEmpty ? nil : image
  }

  /// Whether a pattern such as `busy*` or `*/app:1.*` means the image `name:tag`, with or without its tag.
  static func matches(_ pattern: String, _ name: String) -> Bool {
    if glob(pattern, name) { return true }
    guard let reference = try? Reference(parsing: name) else { return false }
    return glob(pattern, reference.familiarName) || glob(pattern, reference.name) || glob(pattern, reference.canonical)
  }

  /// `*` and `?` do not cross a slash, `[a-z]` is a choice, `\` makes the next character plain.
  static func glob(_ pattern: some StringProtocol, _ text: some StringProtocol) -> Bool {
    let pattern = Array(pattern.utf8)
    let text = Array(text.utf8)
    guard pattern.count <= 512 else { return false }
    var memo: [Int: Bool] = [:]
    func match(_ p: Int, _ t: Int) -> Bool {
      if let known = memo[p &* 65_536 &+ t] { return known }
      let result = step(p, t)
      memo[p &* 65_536 &+ t] = result
      return result
    }
    func step(_ p: Int, _ t: Int) -> Bool {
      guard p < pattern.count else { return t == text.count }
      switch pattern[p] {
      case 42:
        if match(p + 1, t) { return true }
        return t < text.count && text[t] != 47 && match(p, t + 1)
      case 63: return t < text.count && text[t] != 47 && match(p + 1, t + 1)
      case 91:
        guard t < text.count, let end = pattern[(p + 1)...].firstIndex(of: 93) else { return false }
        var set = Array(pattern[(p + 1)..<end])
        let negated = set.first == 94
        if negated { set.removeFirst() }
        var found = false
        var index = 0
        while index < set.count {
          if index + 2 < set.count, set[index + 1] == 45 {
            found = found || (set[index] <= text[t] && text[t] <= set[index + 2])
            index += 3
          } else {
            found = found || set[index] == text[t]
            index += 1
          }
        }
        return found != negated && match(end + 1, t + 1)
      case 92 where p + 1 < pattern.count: return t < text.count && pattern[p + 1] == text[t] && match(p + 2, t + 1)
      default: return t < text.count && pattern[p] == text[t] && match(p + 1, t + 1)
      }
    }
    return match(0, 0)
  }
}
