internal import Faults
internal import FoundationEssentials
internal import Glibc
internal import JSONRPC
internal import NIOCore
internal import Synchronization

/// One socket of lines, for servers and clients alike: cuts input into lines, queues output from any thread.
///
/// Both directions are bounded. Input stops being read while much output waits; a peer that does not read is dropped when
/// more than `outputLimit` waits and another line comes.
final class LineChannel: ChannelInboundHandler, Sendable {
  typealias InboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  /// What the owner of the connection does with it. Called on the event loop, in order.
  struct Events: Sendable {
    /// One line without its newline.
    var line: @Sendable (Data) -> Void
    /// The peer sends no more; it may still read.
    var inputEnded: @Sendable () -> Void
    /// The input is not what it must be; the connection is to be closed after a last word.
    var broken: @Sendable (Fault) -> Void
    /// The connection has ended.
    var ended: @Sendable () -> Void
    /// So much is being worked on that nothing more is to be read before `resume`.
    var isBusy: @Sendable () -> Bool = { false }
  }

  /// Bytes that may wait for a slow reader before the next line drops it.
  static let outputLimit = 4 << 20
  /// While more than this waits, nothing is read.
  static let readPause = 256 << 10

  private struct Output {
    var lines: [Data] = []
    /// Bytes in `lines` and those that the channel has not written yet.
    var waiting = 0
    var isScheduled = false
    var isOpen = true
    /// Those who wait until less than `readPause` waits.
    var senders: [CheckedContinuation<Void, Never>] = []

    mutating func takeSenders() -> [CheckedContinuation<Void, Never>] {
      defer { senders = [] }
      return senders
    }
  }

  private struct Input {
    var buffer: ByteBuffer?
    var searched = 0
    var isPaused = false
    var isDone = false
  }

  private let events: Events
  private let lineLimit: Int
  private let channel: any Channel
  private let output = Mutex(Output())
  private let input: NIOLoopBoundBox<Input>

  /// Must be made on the loop of `channel`.
  init(_ channel: any Channel, lineLimit: Int = WireLimit.line, events: Events) {
    self.channel = channel
    self.events = events
    self.lineLimit = lineLimit
    input = NIOLoopBoundBox(Input(), eventLoop: channel.eventLoop)
  }

  // MARK: Output

  /// Bytes that wait to be written.
  var waiting: Int { output.withLock { $0.waiting } }

  /// Queues one line; false when the connection has ended or this line was one too many.
  func send(_ line: Data) -> Bool {
    enum Next { case nothing, flush, drop, gone }
    let next = output.withLock { output -> Next in
      guard output.isOpen else { return .gone }
      if output.waiting > Self.outputLimit {
        output.isOpen = false
        output.lines = []
        return .drop
      }
      output.lines.append(line)
      output.waiting += line.count + 1
      if output.isScheduled { return .nothing }
      output.isScheduled = true
      return .flush
    }
    switch next {
    case .nothing: return true
    case .flush:
      if channel.eventLoop.inEventLoop { flush() } else { channel.eventLoop.execute { self.flush() } }
      return true
    case .drop:
      channel.close(promise: nil)
      return false
    case .gone: return false
    }
  }

  /// Returns when less than `readPause` waits to be written, or the connection has ended.
  func drained() async {
    await withCheckedContinuation { continuation in
      let isDrained = output.withLock { output in
        if !output.isOpen || output.waiting <= Self.readPause { return true }
        output.senders.append(continuation)
        return false
      }
      if isDrained { continuation.resume() }
    }
  }

  /// Closes when all that was sent has been written.
  func closeAfterOutput() {
    channel.eventLoop.execute {
      self.flush()
      self.channel.writeAndFlush(ByteBuffer()).whenComplete { _ in self.channel.close(promise: nil) }
    }
  }

  /// Closes at once.
  func close() { channel.close(promise: nil) }

  private func flush() {
    let lines = output.withLock { output -> [Data] in
      let lines = output.lines
      output.lines = []
      output.isScheduled = false
      return lines
    }
    if lines.isEmpty { return }
    let size = lines.reduce(0) { $0 + $1.count + 1 }
    var buffer = channel.allocator.buffer(capacity: size)
    for line in lines {
      buffer.writeBytes(line)
      buffer.writeInteger(UInt8(10))
    }
    channel.writeAndFlush(buffer).whenComplete { _ in
      let (waiting, senders) = self.output.withLock { output in
        output.waiting -= size
        return (output.waiting, output.waiting <= Self.readPause ? output.takeSenders() : [])
      }
      for sender in senders { sender.resume() }
      if waiting <= Self.readPause { self.resumeReading() }
    }
  }

  /// The owner is not busy any more.
  func resume() { channel.eventLoop.execute { self.resumeReading() } }

  private func resumeReading() {
    guard input.value.isPaused else { return }
    input.value.isPaused = false
    drain()
    if !input.value.isPaused { channel.read() }
  }

  // MARK: Input

  func channelActive(context: ChannelHandlerContext) { context.read() }

  func handlerAdded(context: ChannelHandlerContext) {
    if context.channel.isActive { context.read() }
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    var chunk = unwrapInboundIn(data)
    if input.value.isDone { return }
    if input.value.buffer == nil { input.value.buffer = chunk } else { input.value.buffer?.writeBuffer(&chunk) }
    drain()
  }

  func channelReadComplete(context: ChannelHandlerContext) {
    if !input.value.isPaused { context.read() }
  }

  /// Hands out whole lines until none is left or output is too far behind.
  private func drain() {
    while var buffer = input.value.buffer {
      if waiting > Self.readPause || events.isBusy() {
        input.value.isPaused = true
        return
      }
      let view = buffer.readableBytesView
      let from = view.index(view.startIndex, offsetBy: input.value.searched)
      guard let newline = view[from...].firstIndex(of: 10) else {
        input.value.searched = view.count
        if view.isEmpty { input.value.buffer = nil }
        if view.count > lineLimit { refuse() }
        return
      }
      let length = view.distance(from: view.startIndex, to: newline)
      if length > lineLimit { return refuse() }
      input.value.searched = 0
      input.value.buffer = nil
      let line = length > 0 ? Data(view[..<newline]) : nil
      buffer.moveReaderIndex(forwardBy: length + 1)
      if buffer.readableBytes > 0 {
        if buffer.readerIndex > 1 << 16 { buffer.discardReadBytes() }
        input.value.buffer = buffer
      }
      if let line { events.line(line) }
      if input.value.isDone { return }
    }
  }

  private func refuse() {
    fail(Fault(.parseError, "a line is longer than \(lineLimit) bytes"))
  }

  /// Nothing more is read; the owner says its last word.
  func fail(_ fault: Fault) {
    if input.value.isDone { return }
    input.value.isDone = true
    input.value.buffer = nil
    events.broken(fault)
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if let event = event as? ChannelEvent, event == .inputClosed {
      if !input.value.isDone { events.inputEnded() }
    }
    context.fireUserInboundEventTriggered(event)
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

  func channelInactive(context: ChannelHandlerContext) {
    let senders = output.withLock { output in
      output.isOpen = false
      output.lines = []
      return output.takeSenders()
    }
    for sender in senders { sender.resume() }
    input.value.buffer = nil
    input.value.isDone = true
    events.ended()
  }
}
