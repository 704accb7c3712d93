public import SystemPackage

/// The result of a `cl_*` function or raw system call: itself, or the negative errno thrown as `Errno`.
@discardableResult @inlinable
public func check(_ result: Int) throws(Errno) -> Int {
  if result < 0 { throw Errno(rawValue: CInt(truncatingIfNeeded: -result)) }
  return result
}

/// The result of a `cl_*` function that returns an `int`: itself, or the negative errno thrown as `Errno`.
@discardableResult @inlinable
public func check(_ result: CInt) throws(Errno) -> CInt {
  if result < 0 { throw Errno(rawValue: -result) }
  return result
}
