internal import CLinux

/// The process's heap.
public enum HeapMemory {
  /// Gives pages that the heap no longer uses back to the kernel (malloc_trim(3)): after work that needed much memory.
  public static func giveBack() { _ = cl_malloc_trim() }
}
