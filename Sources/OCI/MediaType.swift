/// The media types of image content that Gantry reads and writes.
public enum MediaType {
  public static let ociIndex = "application/vnd.oci.image.index.v1+json"
  public static let ociManifest = "application/vnd.oci.image.manifest.v1+json"
  public static let ociConfig = "application/vnd.oci.image.config.v1+json"
  public static let ociLayer = "application/vnd.oci.image.layer.v1.tar"
  public static let ociLayerGzip = "application/vnd.oci.image.layer.v1.tar+gzip"
  public static let ociLayerZstd = "application/vnd.oci.image.layer.v1.tar+zstd"
  public static let dockerIndex = "application/vnd.docker.distribution.manifest.list.v2+json"
  public static let dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
  public static let dockerConfig = "application/vnd.docker.container.image.v1+json"
  public static let dockerLayer = "application/vnd.docker.image.rootfs.diff.tar"
  public static let dockerLayerGzip = "application/vnd.docker.image.rootfs.diff.tar.gzip"

  /// Whether content of this type is a list of manifests.
  public static func isIndex(_ mediaType: String) -> Bool { mediaType == ociIndex || mediaType == dockerIndex }

  /// Whether content of this type is one image's manifest.
  public static func isManifest(_ mediaType: String) -> Bool { mediaType == ociManifest || mediaType == dockerManifest }

  /// Whether content of this type is an image's configuration.
  public static func isConfig(_ mediaType: String) -> Bool { mediaType == ociConfig || mediaType == dockerConfig }

  /// OCI's name for a layer of this type, which Docker may have named.
  public static func oci(_ mediaType: String) -> String {
    switch mediaType {
    case dockerLayer: ociLayer
    case dockerLayerGzip: ociLayerGzip
    default: mediaType
    }
  }

  /// Whether content of this type is a layer's tar without compression, whose digest therefore is its diffID.
  public static func isPlainLayer(_ mediaType: String) -> Bool { mediaType == ociLayer || mediaType == dockerLayer }

  /// Whether content of this type is a layer's tar, compressed or not.
  public static func isLayer(_ mediaType: String) -> Bool {
    isPlainLayer(mediaType) || mediaType == ociLayerGzip || mediaType == ociLayerZstd || mediaType == dockerLayerGzip
  }
}
