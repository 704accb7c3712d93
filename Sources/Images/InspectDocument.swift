public import Faults
internal import FoundationEssentials
public import JSONRPC
internal import OCI

extension ImageDetails {
  /// The image in the shape of Docker's `GET /images/NAME/json` (API 1.51).
  public func dockerDocument() throws(Fault) -> JSONValue {
    var document: [String: JSONValue] = [
      "Id": .string(id.rawValue),
      "RepoTags": .strings(repoTags),
      "RepoDigests": .strings(repoDigests),
      "Parent": .string(""),
      "Comment": .string(config.comment ?? config.history?.last?.comment ?? ""),
      "Created": .string(config.created ?? Timestamp.never),
      "DockerVersion": .string(config.dockerVersion ?? ""),
      "Author": .string(config.author ?? ""),
      "Config": try execution(),
      "Architecture": .string(config.architecture),
      "Os": .string(config.os),
      "Size": .int(size),
      "GraphDriver": .object(["Name": .string("overlayfs"), "Data": .null]),
      "RootFS": .object(["Type": .string("layers"), "Layers": .strings(layers.map(\.rawValue))]),
      "Metadata": .object(["LastTagTime": .string(lastTagged.map { Timestamp.text(seconds: $0) } ?? Timestamp.never)]),
      "Descriptor": .object([
        "mediaType": .string(manifest.mediaType), "digest": .string(manifest.digest.rawValue),
        "size": .int(manifest.size),
      ]),
    ]
    if let variant = config.variant { document["Variant"] = .string(variant) }
    if let version = config.osVersion { document["OsVersion"] = .string(version) }
    return .object(document)
  }

  /// `config` as the image has it, with the members that clients expect to be there.
  private func execution() throws(Fault) -> JSONValue {
    var members: [String: JSONValue] = [
      "User": .string(""), "Env": .array([]), "Cmd": .null, "Entrypoint": .null, "Volumes": .null,
      "WorkingDir": .string(""), "OnBuild": .null, "Labels": .null,
    ]
    if case .object(let given)? = try JSONValue(parsing: configData)["config"] {
      for (name, value) in given { members[name] = value }
    }
    return .object(members)
  }
}

extension JSONValue {
  /// A list of texts.
  static func strings(_ texts: [String]) -> JSONValue { .array(texts.map { .string($0) }) }
}

/// Points in time as RFC 3339 text.
public enum Timestamp {
  /// What Docker writes for no time.
  public static let never = "0001-01-01T00:00:00Z"

  /// The text of `seconds` since 1970, in UTC with milliseconds.
  public static func text(seconds: Double) -> String {
    Date(timeIntervalSince1970: seconds).formatted(Date.ISO8601FormatStyle(includingFractionalSeconds: true))
  }

  /// The whole seconds since 1970 that `text` names; nil when it is not RFC 3339. Fractions may have any length.
  public static func seconds(_ text: String) -> Int64? {
    let bytes = Array(text.utf8)
    func number(_ range: Range<Int>) -> Int64? {
      guard range.upperBound <= bytes.count else { return nil }
      var value: Int64 = 0
      for byte in bytes[range] {
        guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) else { return nil }
        value = value * 10 + Int64(byte - UInt8(ascii: "0"))
      }
      return value
    }
    guard let year = number(0..<4), let month = number(5..<7), let day = number(8..<10), let hour = number(11..<13),
      let minute = number(14..<16), let second = number(17..<19), (1...12).contains(month), bytes.count >= 20
    else { return nil }
    var rest = bytes[19...]
    if rest.first == UInt8(ascii: ".") {
      rest = rest.dropFirst().drop { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
    }
    var offset: Int64 = 0
    switch rest.first {
    case UInt8(ascii: "Z"), UInt8(ascii: "z"): break
    case let sign? where sign == UInt8(ascii: "+") || sign == UInt8(ascii: "-"):
      let start = rest.startIndex
      guard let hours = number(start + 1..<start + 3), let minutes = number(start + 4..<start + 6) else { return nil }
      offset = (hours * 60 + minutes) * (sign == UInt8(ascii: "-") ? -60 : 60)
    default: return nil
    }
    // Days since 1970 of a date of the Gregorian calendar, years beginning in March.
    let shifted = month <= 2 ? year - 1 : year
    let era = (shifted >= 0 ? shifted : shifted - 399) / 400
    let yearOfEra = shifted - era * 400
    let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
    let days = era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
    return ((days * 24 + hour) * 60 + minute) * 60 + second - offset
  }
}
