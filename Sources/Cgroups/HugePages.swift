import Faults
import OCI

/// The hugetlb controller: bytes of huge pages by page size, such as `2MB`; both those in use and those reserved.
enum HugePages {
  static func apply(_ limits: [RuntimeSpec.HugepageLimit], to folder: ControllerFolder) throws(Fault) {
    for limit in limits {
      let size = limit.pageSize
      guard size.hasSuffix("B"), size.utf8.allSatisfy({ (0x30...0x39).contains($0) || (0x41...0x5a).contains($0) })
      else {
        throw Fault(.invalidArgument, "hugetlb: \"\(size)\" is no page size such as 2MB or 1GB")
      }
      let value = String(limit.limit)
      let hint = "the sizes that this machine has are the folders of /sys/kernel/mm/hugepages"
      let suffix = folder.version == .v1 ? "limit_in_bytes" : "max"
      try folder.write("hugetlb.\(size).\(suffix)", value, hint: hint)
      // Reservations are counted since Linux 5.7.
      let reserved = "hugetlb.\(size).rsvd.\(suffix)"
      if folder.has(reserved) { try folder.write(reserved, value, hint: hint) }
    }
  }
}
