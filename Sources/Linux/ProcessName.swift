internal import CLinux

/// What the kernel calls this process: `comm` in /proc, shown by ps and top.
public enum ProcessName {
  /// Sets it; the kernel keeps 15 bytes.
  public static func set(_ name: String) {
    _ = name.withCString { cl_prctl(Int32(CL_PR_SET_NAME), UInt(bitPattern: $0), 0, 0, 0) }
  }
}
