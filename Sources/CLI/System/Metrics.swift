internal import Faults
internal import JSONRPC
internal import Protocol

/// `gantry system metrics`: counters of all running containers as a collector of metrics reads them.
struct SystemMetrics: Command {
  static let about = About(
    usage: "", summary: "Print counters of running containers for Prometheus",
    discussion: """
      The text format of Prometheus, version 0.0.4. Write it to a file of node_exporter's textfile collector, or ask the
      engine itself: `system.metrics` on gantry.sock.
      """,
    examples: [("gantry system metrics", "Everything")])

  func run(in session: Session) throws -> Int32 {
    Output.write(PrometheusText.text(try session.call(GatewayAPI.Method.systemMetrics, .init()).containers))
    return 0
  }
}

/// The text format of Prometheus, version 0.0.4.
enum PrometheusText {
  /// One metric: its name, what kind it is, what it means, its value where there is one.
  private struct Metric {
    let name: String
    let kind: String
    let help: String
    let value: (Counters) -> String?

    /// What only grows.
    static func counter(_ name: String, _ help: String, _ value: KeyPath<Counters, Int64>) -> Metric {
      Metric(name: name + "_total", kind: "counter", help: help) { String($0[keyPath: value]) }
    }

    /// Nanoseconds that only grow, told in seconds.
    static func seconds(_ name: String, _ help: String, _ value: KeyPath<Counters, Int64>) -> Metric {
      Metric(name: name + "_seconds_total", kind: "counter", help: help) {
        Decimals.fixed(Double($0[keyPath: value]) / 1e9, digits: 6)
      }
    }

    /// What is so at this moment.
    static func gauge(_ name: String, _ help: String, _ value: KeyPath<Counters, Int64>) -> Metric {
      Metric(name: name, kind: "gauge", help: help) { String($0[keyPath: value]) }
    }

    /// The same for what not every container has.
    static func limit(_ name: String, _ help: String, _ value: KeyPath<Counters, Int64?>) -> Metric {
      Metric(name: name, kind: "gauge", help: help) { $0[keyPath: value].map { String($0) } }
    }
  }

  private typealias Counters = GatewayAPI.ContainerCounters

  private static var metrics: [Metric] {
    [
      Metric(name: "gantry_container_running", kind: "gauge", help: "1 for every running container.") { _ in "1" },
      Metric.seconds("gantry_container_cpu", "Processor time.", \.cpuNanoseconds),
      Metric.seconds("gantry_container_cpu_user", "Processor time in user mode.", \.cpuUserNanoseconds),
      Metric.seconds("gantry_container_cpu_system", "Processor time in the kernel.", \.cpuSystemNanoseconds),
      Metric.seconds("gantry_container_cpu_throttled", "Time held back by the quota.", \.cpuThrottledNanoseconds),
      Metric.counter(
        "gantry_container_cpu_throttled_periods", "Periods in which the quota ran out.", \.cpuThrottledPeriods),
      Metric.gauge("gantry_container_memory_bytes", "Memory, file cache among it.", \.memoryBytes),
      Metric.gauge(
        "gantry_container_memory_working_bytes", "Memory without inactive file cache.", \.memoryWorkingBytes),
      Metric.limit(
        "gantry_container_memory_limit_bytes", "The limit of memory, where there is one.", \.memoryLimitBytes),
      Metric.limit("gantry_container_memory_swap_bytes", "Swap, where the kernel counts it.", \.memorySwapBytes),
      Metric.counter(
        "gantry_container_memory_limit_failures", "Times that the limit of memory was hit.", \.memoryLimitFailures),
      Metric.counter("gantry_container_oom_kills", "Processes killed for want of memory.", \.oomKills),
      Metric.gauge("gantry_container_processes", "Processes and threads.", \.processes),
      Metric.limit("gantry_container_processes_limit", "The limit of processes, where there is one.", \.processesLimit),
      Metric.counter("gantry_container_block_read_bytes", "Read from disks.", \.blockReadBytes),
      Metric.counter("gantry_container_block_written_bytes", "Written to disks.", \.blockWrittenBytes),
      Metric.counter("gantry_container_block_reads", "Reads of disks.", \.blockReads),
      Metric.counter("gantry_container_block_writes", "Writes to disks.", \.blockWrites),
      Metric.counter("gantry_container_network_received_bytes", "Received.", \.networkReceivedBytes),
      Metric.counter("gantry_container_network_received_packets", "Received.", \.networkReceivedPackets),
      Metric.counter("gantry_container_network_receive_errors", "Packets with errors.", \.networkReceiveErrors),
      Metric.counter("gantry_container_network_receive_dropped", "Packets dropped.", \.networkReceiveDropped),
      Metric.counter("gantry_container_network_sent_bytes", "Sent.", \.networkSentBytes),
      Metric.counter("gantry_container_network_sent_packets", "Sent.", \.networkSentPackets),
      Metric.counter("gantry_container_network_send_errors", "Packets with errors.", \.networkSendErrors),
      Metric.counter("gantry_container_network_send_dropped", "Packets dropped.", \.networkSendDropped),
    ]
  }

  /// Every metric of every container, one metric after the other, as the format wants it.
  static func text(_ containers: [GatewayAPI.ContainerCounters]) -> String {
    let labels = containers.map { container in
      "{id=\"\(container.id)\",name=\"\(escaped(container.name))\",image=\"\(escaped(container.image))\"}"
    }
    var text = ""
    for metric in metrics {
      let lines = zip(containers, labels).compactMap { container, labels in
        metric.value(container).map { "\(metric.name)\(labels) \($0)\n" }
      }
      guard !lines.isEmpty else { continue }
      text += "# HELP \(metric.name) \(metric.help)\n# TYPE \(metric.name) \(metric.kind)\n" + lines.joined()
    }
    return text
  }

  /// A label's value: no line ends, quotes or backslashes of a container's own making.
  static func escaped(_ value: String) -> String {
    var result = ""
    for character in value.unicodeScalars {
      switch character {
      case "\\": result += "\\\\"
      case "\"": result += "\\\""
      case "\n": result += "\\n"
      default: result.unicodeScalars.append(character)
      }
    }
    return result
  }
}
