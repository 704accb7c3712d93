/// Rewrites a filter into one that decides the same and is several times shorter.
///
/// libseccomp compares the number of a call with every number that has a rule. Loading such a filter costs the kernel 0.5 to
/// 0.8 ms (it checks, translates and, since Linux 5.11, runs it for every number), once for every container and exec. Most
/// numbers lie in runs with the same outcome, so a search over the ends of the runs does the same in a quarter of the code.
///
/// The filter is executed symbolically for each architecture: comparisons of the number split its range, and where an
/// argument is read the rest is evaluated with number and architecture known. What does not fit this scheme is left as it
/// is. The new program is put together from its end, because BPF jumps forward only.
struct FilterCompaction {
  /// What happens for one range of numbers.
  private enum Outcome: Equatable {
    case action(UInt32)
    /// Depends on arguments; evaluated from this instruction on.
    case examine(Int)
  }

  private struct Run {
    var first: UInt32
    var last: UInt32
    var outcome: Outcome
  }

  /// What is known of the accumulator: its value, or nil when it holds (part of) an argument.
  private struct Place: Hashable {
    var position: Int
    var known: UInt32?
  }

  private struct Unsuitable: Error {}

  private let program: [BPFInstruction]
  /// The new program from its end: index 0 is the last instruction.
  private var reversed: [BPFInstruction] = []
  /// The nearest copy of each final action.
  private var actions: [UInt32: Int] = [:]

  private init(_ program: [BPFInstruction]) { self.program = program }

  /// A program that decides as `program` does for the kernel's `architectures` (AUDIT_ARCH_*), and for all others.
  static func compact(_ program: [BPFInstruction], architectures: [UInt32]) -> [BPFInstruction] {
    var compaction = FilterCompaction(program)
    guard let result = try? compaction.rewrite(architectures), result.count < program.count else { return program }
    return result
  }

  private mutating func rewrite(_ architectures: [UInt32]) throws(Unsuitable) -> [BPFInstruction] {
    var foreign: UInt32 = 1
    while architectures.contains(foreign) { foreign += 1 }
    let others = try runs(architecture: foreign)
    guard others.count == 1, case .action(let otherwise) = others[0].outcome else { throw Unsuitable() }
    var entries: [(architecture: UInt32, entry: Int)] = []
    for architecture in architectures.reversed() {
      let root = try search(try runs(architecture: architecture)[...], architecture)
      entries.append((architecture, append(.load(0), before: root)))
    }
    var next = leave(otherwise)
    for (architecture, entry) in entries {
      next = branch(.whenEqual(architecture, skip: 0, else: 0), entry, next)
    }
    _ = append(.load(4), before: next)
    return reversed.reversed()
  }

  // MARK: reading the old program

  /// The outcome for every number on `architecture`, in ascending runs without gaps.
  private func runs(architecture: UInt32) throws(Unsuitable) -> [Run] {
    var found: [Run] = []
    // Positions still to be followed: nil as the accumulator means the number.
    var open: [(position: Int, known: UInt32?, first: UInt32, last: UInt32)] = [(0, 0, 0, .max)]
    while var (position, known, first, last) = open.popLast() {
      follow: while true {
        guard program.indices.contains(position) else { throw Unsuitable() }
        let step = program[position]
        switch step.code {
        case 0x20 where step.value == 0: known = nil
        case 0x20 where step.value == 4: known = architecture
        case 0x20:
          found.append(contentsOf: split(first, last, .examine(position)))
          break follow
        case 0x06:
          found.append(Run(first: first, last: last, outcome: .action(step.value)))
          break follow
        case 0x05: position += Int(step.value)
        case 0x54:
          guard let value = known else { throw Unsuitable() }
          known = value & step.value
        case 0x15, 0x25, 0x35, 0x45:
          if let value = known {
            position += Int(Self.holds(step, value) ? step.ifTrue : step.ifFalse)
            break
          }
          for part in try Self.parts(step, first, last) where part.first <= part.last {
            let skip = part.holds ? step.ifTrue : step.ifFalse
            open.append((position + 1 + Int(skip), nil, part.first, part.last))
          }
          break follow
        default: throw Unsuitable()
        }
        position += 1
      }
      guard found.count + open.count < 20_000 else { throw Unsuitable() }
    }
    return Self.merged(found.sorted { $0.first < $1.first })
  }

  /// Arguments are examined for single calls; a wide range that reads them would need one evaluation for each number.
  private func split(_ first: UInt32, _ last: UInt32, _ outcome: Outcome) -> [Run] {
    guard last - first < 64 else { return [Run(first: first, last: last, outcome: outcome)] }
    return (first...last).map { Run(first: $0, last: $0, outcome: outcome) }
  }

  /// How a comparison of the number divides `first...last`.
  private static func parts(
    _ step: BPFInstruction, _ first: UInt32, _ last: UInt32
  ) throws(Unsuitable) -> [(first: UInt32, last: UInt32, holds: Bool)] {
    let value = step.value
    if value < first || value > last {
      // No boundary inside: the whole range goes one way.
      switch step.code {
      case 0x15: return [(first, last, false)]
      case 0x25, 0x35: return [(first, last, value < first)]
      default: throw Unsuitable()
      }
    }
    var parts: [(first: UInt32, last: UInt32, holds: Bool)] = []
    switch step.code {
    case 0x15:
      if value > first { parts.append((first, value - 1, false)) }
      parts.append((value, value, true))
      if value < last { parts.append((value + 1, last, false)) }
    case 0x25:
      parts.append((first, value, false))
      if value < last { parts.append((value + 1, last, true)) }
    case 0x35:
      if value > first { parts.append((first, value - 1, false)) }
      parts.append((value, last, true))
    default: throw Unsuitable()
    }
    return parts
  }

  private static func holds(_ step: BPFInstruction, _ value: UInt32) -> Bool {
    switch step.code {
    case 0x15: value == step.value
    case 0x25: value > step.value
    case 0x35: value >= step.value
    default: value & step.value != 0
    }
  }

  private static func merged(_ runs: [Run]) -> [Run] {
    var result: [Run] = []
    for run in runs {
      if let last = result.last, case .action = run.outcome, last.outcome == run.outcome {
        result[result.count - 1].last = run.last
      } else {
        result.append(run)
      }
    }
    return result
  }

  // MARK: writing the new one

  /// A search for the number among `runs`; returns where it starts.
  private mutating func search(_ runs: ArraySlice<Run>, _ architecture: UInt32) throws(Unsuitable) -> Int {
    if runs.count == 1, let run = runs.first {
      switch run.outcome {
      case .action(let action): return leave(action)
      case .examine(let position):
        guard run.first == run.last else { throw Unsuitable() }
        var memory: [Place: Int] = [:]
        return try examine(
          Place(position: position, known: nil), number: run.first, architecture, &memory, depth: 0)
      }
    }
    let middle = runs.startIndex + runs.count / 2
    let upper = try search(runs[middle...], architecture)
    let lower = try search(runs[..<middle], architecture)
    return branch(.whenAtLeast(runs[middle].first, skip: 0, else: 0), upper, lower)
  }

  /// The rest of the old program from `place` on for one call, with all that depends on number and architecture decided.
  private mutating func examine(
    _ place: Place, number: UInt32, _ architecture: UInt32, _ memory: inout [Place: Int], depth: Int
  ) throws(Unsuitable) -> Int {
    if let known = memory[place] { return known }
    guard depth < 2_000, program.indices.contains(place.position) else { throw Unsuitable() }
    let step = program[place.position]
    func next(_ known: UInt32?, _ skip: UInt32 = 0) -> Place {
      Place(position: place.position + 1 + Int(skip), known: known)
    }
    let result: Int
    switch step.code {
    case 0x06: result = leave(step.value)
    case 0x05:
      result = try examine(next(place.known, step.value), number: number, architecture, &memory, depth: depth + 1)
    case 0x20 where step.value == 0 || step.value == 4:
      let known = step.value == 0 ? number : architecture
      result = try examine(next(known), number: number, architecture, &memory, depth: depth + 1)
    case 0x20:
      let rest = try examine(next(nil), number: number, architecture, &memory, depth: depth + 1)
      result = append(step, before: rest)
    case 0x54:
      let rest = try examine(
        next(place.known.map { $0 & step.value }), number: number, architecture, &memory, depth: depth + 1)
      result = place.known == nil ? append(step, before: rest) : rest
    case 0x15, 0x25, 0x35, 0x45:
      if let known = place.known {
        let skip = Self.holds(step, known) ? step.ifTrue : step.ifFalse
        result = try examine(next(known, UInt32(skip)), number: number, architecture, &memory, depth: depth + 1)
      } else {
        let no = try examine(next(nil, UInt32(step.ifFalse)), number: number, architecture, &memory, depth: depth + 1)
        let yes = try examine(next(nil, UInt32(step.ifTrue)), number: number, architecture, &memory, depth: depth + 1)
        result = branch(step, yes, no)
      }
    default: throw Unsuitable()
    }
    memory[place] = result
    return result
  }

  /// Where the final `action` stands, near enough for a conditional jump (255 instructions) from the next instruction.
  private mutating func leave(_ action: UInt32) -> Int {
    if let index = actions[action], reversed.count - index < 200 { return index }
    reversed.append(.leave(action))
    actions[action] = reversed.count - 1
    return reversed.count - 1
  }

  /// Puts `step` so that `target` comes next.
  private mutating func append(_ step: BPFInstruction, before target: Int) -> Int {
    if target != reversed.count - 1 { hop(to: target) }
    reversed.append(step)
    return reversed.count - 1
  }

  /// Puts a conditional jump to `yes` or `no`.
  private mutating func branch(_ step: BPFInstruction, _ yes: Int, _ no: Int) -> Int {
    if yes == no { return yes }
    var yes = yes
    var no = no
    // One of the hops may push the other target out of reach: 254 leaves room for both.
    if reversed.count - no > 254 {
      hop(to: no)
      no = reversed.count - 1
    }
    if reversed.count - yes > 255 {
      hop(to: yes)
      yes = reversed.count - 1
    }
    var step = step
    step.ifTrue = UInt8(reversed.count - yes - 1)
    step.ifFalse = UInt8(reversed.count - no - 1)
    reversed.append(step)
    return reversed.count - 1
  }

  /// Puts what leads to the far instruction `target`: a copy when it is final, else a jump, whose reach is not limited.
  private mutating func hop(to target: Int) {
    let step = reversed[target]
    reversed.append(step.code == 0x06 ? step : .jump(UInt32(reversed.count - target - 1)))
  }
}
