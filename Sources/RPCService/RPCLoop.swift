public import NIOCore
internal import NIOPosix

/// The one event loop of a process: servers and clients share it. Handlers run on Swift's own threads.
public enum RPCLoop {
  /// One thread.
  public static let shared: any EventLoopGroup = MultiThreadedEventLoopGroup(numberOfThreads: 1)
}
