extension RuntimeSpec {
  /// Limits of a cgroup; what is nil stays as it is.
  public struct Resources: Codable, Sendable, Equatable {
    /// Files of cgroup v2 and what to write to them.
    public var unified: [String: String]?
    /// Which devices may be used; later rules win.
    public var devices: [DeviceRule]?
    /// Memory.
    public var memory: Memory?
    /// Processor time.
    public var cpu: CPU?
    /// Processes.
    public var pids: Pids?
    /// Disks.
    public var blockIO: BlockIO?
    /// Huge pages.
    public var hugepageLimits: [HugepageLimit]?
    /// Tags for traffic (v1).
    public var network: Network?
    /// RDMA devices by name.
    public var rdma: [String: RDMA]?

    /// From its parts.
    public init(
      unified: [String: String]? = nil,
      devices: [DeviceRule]? = nil,
      memory: Memory? = nil,
      cpu: CPU? = nil,
      pids: Pids? = nil,
      blockIO: BlockIO? = nil,
      hugepageLimits: [HugepageLimit]? = nil,
      network: Network? = nil,
      rdma: [String: RDMA]? = nil
    ) {
      self.unified = unified
      self.devices = devices
      self.memory = memory
      self.cpu = cpu
      self.pids = pids
      self.blockIO = blockIO
      self.hugepageLimits = hugepageLimits
      self.network = network
      self.rdma = rdma
    }
  }

  /// A rule for devices.
  public struct DeviceRule: Codable, Sendable, Equatable {
    /// Allowed or not.
    public var allow: Bool
    /// `a`, `c` or `b`.
    public var type: String?
    /// Nil or -1: any.
    public var major: Int64?
    /// Nil or -1: any.
    public var minor: Int64?
    /// Of `rwm`.
    public var access: String?

    /// From its parts.
    public init(
      allow: Bool,
      type: String? = nil,
      major: Int64? = nil,
      minor: Int64? = nil,
      access: String? = nil
    ) {
      self.allow = allow
      self.type = type
      self.major = major
      self.minor = minor
      self.access = access
    }
  }

  /// In bytes; -1 is no limit.
  public struct Memory: Codable, Sendable, Equatable {
    /// The most memory.
    public var limit: Int64?
    /// What it is pushed back to when memory is short.
    public var reservation: Int64?
    /// Memory and swap together.
    public var swap: Int64?
    /// Kernel memory (obsolete).
    public var kernel: Int64?
    /// TCP buffers (v1).
    public var kernelTCP: Int64?
    /// 0 to 100 (v1).
    public var swappiness: UInt64?
    /// Wait instead of ending a process (v1).
    public var disableOOMKiller: Bool?
    /// Obsolete (v1).
    public var useHierarchy: Bool?
    /// Refuse a limit below the present use.
    public var checkBeforeUpdate: Bool?

    /// From its parts.
    public init(
      limit: Int64? = nil,
      reservation: Int64? = nil,
      swap: Int64? = nil,
      kernel: Int64? = nil,
      kernelTCP: Int64? = nil,
      swappiness: UInt64? = nil,
      disableOOMKiller: Bool? = nil,
      useHierarchy: Bool? = nil,
      checkBeforeUpdate: Bool? = nil
    ) {
      self.limit = limit
      self.reservation = reservation
      self.swap = swap
      self.kernel = kernel
      self.kernelTCP = kernelTCP
      self.swappiness = swappiness
      self.disableOOMKiller = disableOOMKiller
      self.useHierarchy = useHierarchy
      self.checkBeforeUpdate = checkBeforeUpdate
    }
  }

  /// Processor time.
  public struct CPU: Codable, Sendable, Equatable {
    /// Weight, 2 to 262144.
    public var shares: UInt64?
    /// Microseconds a period; -1 is no limit.
    public var quota: Int64?
    /// Microseconds that may be saved up.
    public var burst: UInt64?
    /// Microseconds.
    public var period: UInt64?
    /// Microseconds (v1).
    public var realtimeRuntime: Int64?
    /// Microseconds (v1).
    public var realtimePeriod: UInt64?
    /// Which CPUs, such as `0-3,7`.
    public var cpus: String?
    /// Which memory nodes.
    public var mems: String?
    /// 1: only when nothing else runs.
    public var idle: Int64?

    /// From its parts.
    public init(
      shares: UInt64? = nil,
      quota: Int64? = nil,
      burst: UInt64? = nil,
      period: UInt64? = nil,
      realtimeRuntime: Int64? = nil,
      realtimePeriod: UInt64? = nil,
      cpus: String? = nil,
      mems: String? = nil,
      idle: Int64? = nil
    ) {
      self.shares = shares
      self.quota = quota
      self.burst = burst
      self.period = period
      self.realtimeRuntime = realtimeRuntime
      self.realtimePeriod = realtimePeriod
      self.cpus = cpus
      self.mems = mems
      self.idle = idle
    }
  }

  /// Processes.
  public struct Pids: Codable, Sendable, Equatable {
    /// The most processes; 0 or less is no limit.
    public var limit: Int64

    /// From its parts.
    public init(
      limit: Int64
    ) {
      self.limit = limit
    }
  }

  /// Disks.
  public struct BlockIO: Codable, Sendable, Equatable {
    /// 10 to 1000.
    public var weight: UInt16?
    /// Weight of its own processes (v1).
    public var leafWeight: UInt16?
    /// Weights by device.
    public var weightDevice: [WeightDevice]?
    /// Bytes read a second.
    public var throttleReadBpsDevice: [ThrottleDevice]?
    /// Bytes written a second.
    public var throttleWriteBpsDevice: [ThrottleDevice]?
    /// Reads a second.
    public var throttleReadIOPSDevice: [ThrottleDevice]?
    /// Writes a second.
    public var throttleWriteIOPSDevice: [ThrottleDevice]?

    /// From its parts.
    public init(
      weight: UInt16? = nil,
      leafWeight: UInt16? = nil,
      weightDevice: [WeightDevice]? = nil,
      throttleReadBpsDevice: [ThrottleDevice]? = nil,
      throttleWriteBpsDevice: [ThrottleDevice]? = nil,
      throttleReadIOPSDevice: [ThrottleDevice]? = nil,
      throttleWriteIOPSDevice: [ThrottleDevice]? = nil
    ) {
      self.weight = weight
      self.leafWeight = leafWeight
      self.weightDevice = weightDevice
      self.throttleReadBpsDevice = throttleReadBpsDevice
      self.throttleWriteBpsDevice = throttleWriteBpsDevice
      self.throttleReadIOPSDevice = throttleReadIOPSDevice
      self.throttleWriteIOPSDevice = throttleWriteIOPSDevice
    }
  }

  /// A device's weight.
  public struct WeightDevice: Codable, Sendable, Equatable {
    /// The device's driver.
    public var major: Int64
    /// Which of its devices.
    public var minor: Int64
    /// 10 to 1000.
    public var weight: UInt16?
    /// Weight of its own processes (v1).
    public var leafWeight: UInt16?

    /// From its parts.
    public init(
      major: Int64,
      minor: Int64,
      weight: UInt16? = nil,
      leafWeight: UInt16? = nil
    ) {
      self.major = major
      self.minor = minor
      self.weight = weight
      self.leafWeight = leafWeight
    }
  }

  /// A device's limit.
  public struct ThrottleDevice: Codable, Sendable, Equatable {
    /// The device's driver.
    public var major: Int64
    /// Which of its devices.
    public var minor: Int64
    /// A second.
    public var rate: UInt64

    /// From its parts.
    public init(
      major: Int64,
      minor: Int64,
      rate: UInt64
    ) {
      self.major = major
      self.minor = minor
      self.rate = rate
    }
  }

  /// Huge pages of one size.
  public struct HugepageLimit: Codable, Sendable, Equatable {
    /// Such as `2MB`.
    public var pageSize: String
    /// Bytes.
    public var limit: UInt64

    /// From its parts.
    public init(
      pageSize: String,
      limit: UInt64
    ) {
      self.pageSize = pageSize
      self.limit = limit
    }
  }

  /// Tags for traffic.
  public struct Network: Codable, Sendable, Equatable {
    /// For tc.
    public var classID: UInt32?
    /// Priorities by interface.
    public var priorities: [InterfacePriority]?

    /// From its parts.
    public init(
      classID: UInt32? = nil,
      priorities: [InterfacePriority]? = nil
    ) {
      self.classID = classID
      self.priorities = priorities
    }
  }

  /// An interface's priority.
  public struct InterfacePriority: Codable, Sendable, Equatable {
    /// The interface.
    public var name: String
    /// Its priority.
    public var priority: UInt32

    /// From its parts.
    public init(
      name: String,
      priority: UInt32
    ) {
      self.name = name
      self.priority = priority
    }
  }

  /// Limits of an RDMA device.
  public struct RDMA: Codable, Sendable, Equatable {
    /// Handles.
    public var hcaHandles: UInt32?
    /// Objects.
    public var hcaObjects: UInt32?

    /// From its parts.
    public init(
      hcaHandles: UInt32? = nil,
      hcaObjects: UInt32? = nil
    ) {
      self.hcaHandles = hcaHandles
      self.hcaObjects = hcaObjects
    }
  }
}
