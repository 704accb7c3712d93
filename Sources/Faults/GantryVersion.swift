/// Gantry's own version.
public enum GantryVersion {
  /// The version of all parts; they are built and installed together.
  public static let current = "0.1.0"
}
