public import Faults
internal import FoundationEssentials
internal import JSONRPC
internal import Protocol

/// The first line from a new shim to taskd, before the two speak JSON-RPC: what became of the container.
public struct ShimReady: Codable, Sendable, Equatable {
  /// A fault as it travels in this line.
  public struct Failure: Codable, Sendable, Equatable {
    /// The name of the code.
    public var code: String
    public var message: String
    public var cause: [String]

    /// The fault that this was.
    public var fault: Fault { Fault(FaultCode(rawValue: code), message, cause: cause) }
  }

  /// The container's init; absent on failure.
  public var pid: Int32?
  /// RFC 3339; absent while the program waits for its start.
  public var startedAt: String?
  /// The token of the promised client's stream.
  public var token: String?
  /// Why there is no container; nothing of it is left and the shim ends.
  public var failure: Failure?
}

extension PeerList {
  /// Tells every peer that something happened.
  func tell(
    _ type: ShimAPI.ShimEventType, id: String, exec: String? = nil, pid: Int32? = nil, exit: ExitStatus? = nil,
    health: HealthState? = nil
  ) {
    let event = ShimAPI.ShimEvent(
      type: type, time: LogTime.now().text, id: id, exec: exec, pid: pid.map(Int64.init), exit: exit, health: health)
    broadcast(Array(event.line.utf8))
  }
}

extension Shim {
  /// Answers one line of a peer; nil for what wants no answer (notifications: a call here cannot be taken back).
  func answer(_ line: ArraySlice<UInt8>) -> [UInt8]? {
    do throws(Fault) {
      switch try MessageCodec.parse(Data(line)) {
      case .request(let id, let method, let params, _):
        return try Array(answer(id, method, params))
      case .invalid(let id, let fault):
        return try Array(MessageCodec.failure(id: id, fault))
      case .notification, .result, .failure:
        return nil
      }
    } catch {
      return (try? MessageCodec.failure(id: nil, error)).map { Array($0) }
    }
  }

  private func answer(_ id: RPCID, _ method: String, _ params: Data) throws(Fault) -> Data {
    do throws(Fault) {
      if method == WireMethod.discover { return try MessageCodec.result(id: id, Data(ShimDocument.text.utf8)) }
      return try MessageCodec.result(id: id, ShimDispatch.call(self, method: method, params: params))
    } catch {
      return try MessageCodec.failure(id: id, error)
    }
  }
}
