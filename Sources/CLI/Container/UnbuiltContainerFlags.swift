extension ContainerFlags {
  /// Docker's flags of `run` and `create` that a later version brings: refused by name, never ignored.
  static let unbuilt: [Flag<ContainerFlags>] = [
    .unbuilt("add-host", nil, value: "list", .network),
    .unbuilt("cpu-count", nil, value: "int", .windows),
    .unbuilt("cpu-percent", nil, value: "int", .windows),
    .unbuilt("dns", nil, value: "list", .network),
    .unbuilt("dns-opt", nil, value: "list", .network),
    .unbuilt("dns-option", nil, value: "list", .network),
    .unbuilt("dns-search", nil, value: "list", .network),
    .unbuilt("io-maxbandwidth", nil, value: "bytes", .windows),
    .unbuilt("io-maxiops", nil, value: "uint", .windows),
    .unbuilt("ip", nil, value: "string", .network),
    .unbuilt("ip6", nil, value: "string", .network),
    .unbuilt("link", nil, value: "list", .network),
    .unbuilt("link-local-ip", nil, value: "list", .network),
    .unbuilt("mac-address", nil, value: "string", .network),
    .unbuilt("net-alias", nil, value: "list", .network),
    .unbuilt("network-alias", nil, value: "list", .network),
    .unbuilt("publish", "p", value: "list", .network),
    .unbuilt("publish-all", "P", .network),
    .unbuilt("use-api-socket", nil, .engineSocket),
  ]
}
