import TestSupport
import Testing

/// What a person types, on real services. Each file of this folder adds a part; all share one engine, one test at a time,
/// so that each test sees only what it made.
@Suite(.engine, .root, .serialized, .timeLimit(.minutes(10)))
struct IntegrationTests {
  /// The engine of this run.
  var engine: TestEngine { TestEngine.current }
}
