import TestSupport
import Testing

/// What a person types, on real services. Each file of this folder adds a part; all share one engine.
@Suite(.engine, .root, .timeLimit(.minutes(10)))
struct IntegrationTests {
  /// The engine of this run.
  var engine: TestEngine { TestEngine.current }
}
