/// The commands of `gantry`, grouped as its help groups them. The short forms are the same types as the long ones.
enum CommandTree {
  /// The commands that people use most, in the order of Docker's help.
  static var common: [CommandNode] {
    [
      CommandNode("run", Run.self),
      CommandNode("exec", Exec.self),
      CommandNode("ps", ContainerList.self),
      CommandNode("pull", ImagePull.self),
      CommandNode("images", ImageList.self),
      CommandNode("load", ImageLoad.self),
      CommandNode("login", Login.self),
      CommandNode("logout", Logout.self),
      CommandNode("push", ImagePush.self),
      CommandNode("search", Search.self),
      CommandNode("version", Version.self),
      CommandNode("info", Info.self),
    ]
  }

  /// Groups of commands.
  static var groups: [CommandNode] {
    [
      CommandNode(group: "checkpoint", "Manage checkpoints", checkpoint),
      CommandNode(group: "container", "Manage containers", container),
      CommandNode(group: "image", "Manage images", image),
      CommandNode(group: "manifest", "Manage Docker image manifests and manifest lists", manifest),
      CommandNode(group: "system", "Manage the engine and its services", system),
      CommandNode(group: "volume", "Manage volumes", volume),
    ]
  }

  /// The short forms that are not among the common commands.
  static var short: [CommandNode] {
    [
      CommandNode("attach", Attach.self),
      CommandNode("completion", Completion.self),
      CommandNode("cp", Copy.self),
      CommandNode("create", Create.self),
      CommandNode("diff", Diff.self),
      CommandNode("events", Events.self),
      CommandNode("export", Export.self),
      CommandNode("history", ImageHistory.self),
      CommandNode("inspect", Inspect.self),
      CommandNode("kill", Kill.self),
      CommandNode("logs", Logs.self),
      CommandNode("pause", Pause.self),
      CommandNode("port", Port.self),
      CommandNode("rename", Rename.self),
      CommandNode("restart", Restart.self),
      CommandNode("rm", Remove.self),
      CommandNode("rmi", ImageRemove.self),
      CommandNode("start", Start.self),
      CommandNode("stats", Stats.self),
      CommandNode("stop", Stop.self),
      CommandNode("tag", ImageTag.self),
      CommandNode("top", Top.self),
      CommandNode("unpause", Unpause.self),
      CommandNode("update", Update.self),
      CommandNode("wait", Wait.self),
      CommandNode("__complete", Complete.self),
    ]
  }

  private static var container: [CommandNode] {
    [
      CommandNode("attach", Attach.self),
      CommandNode("cp", Copy.self),
      CommandNode("create", Create.self),
      CommandNode("diff", Diff.self),
      CommandNode("exec", Exec.self),
      CommandNode("export", Export.self),
      CommandNode("inspect", ContainerInspect.self),
      CommandNode("kill", Kill.self),
      CommandNode("logs", Logs.self),
      CommandNode("ls", ContainerList.self, aliases: ["ps", "list"]),
      CommandNode("pause", Pause.self),
      CommandNode("port", Port.self),
      CommandNode("prune", ContainerPrune.self),
      CommandNode("rename", Rename.self),
      CommandNode("restart", Restart.self),
      CommandNode("rm", Remove.self, aliases: ["remove"]),
      CommandNode("run", Run.self),
      CommandNode("start", Start.self),
      CommandNode("stats", Stats.self),
      CommandNode("stop", Stop.self),
      CommandNode("top", Top.self),
      CommandNode("unpause", Unpause.self),
      CommandNode("update", Update.self),
      CommandNode("wait", Wait.self),
    ]
  }

  private static var checkpoint: [CommandNode] {
    [
      CommandNode("create", CheckpointCreate.self),
      CommandNode("ls", CheckpointList.self, aliases: ["list"]),
      CommandNode("rm", CheckpointRemove.self, aliases: ["remove"]),
    ]
  }

  private static var image: [CommandNode] {
    [
      CommandNode("history", ImageHistory.self),
      CommandNode("inspect", ImageInspect.self),
      CommandNode("load", ImageLoad.self),
      CommandNode("ls", ImageList.self, aliases: ["list"]),
      CommandNode("pin", ImagePin.self),
      CommandNode("prune", ImagePrune.self),
      CommandNode("pull", ImagePull.self),
      CommandNode("push", ImagePush.self),
      CommandNode("rm", ImageRemove.self, aliases: ["remove"]),
      CommandNode("tag", ImageTag.self),
      CommandNode("tags", ImageTags.self),
      CommandNode("unpin", ImageUnpin.self),
    ]
  }

  private static var manifest: [CommandNode] {
    [
      CommandNode("annotate", ManifestAnnotate.self),
      CommandNode("create", ManifestCreate.self),
      CommandNode("inspect", ManifestInspect.self),
      CommandNode("push", ManifestPush.self),
      CommandNode("rm", ManifestRemove.self),
    ]
  }

  private static var system: [CommandNode] {
    [
      CommandNode("check", SystemCheck.self),
      CommandNode("df", SystemDiskUsage.self),
      CommandNode("events", Events.self),
      CommandNode("info", Info.self),
      CommandNode("logs", SystemLogs.self),
      CommandNode("metrics", SystemMetrics.self),
      CommandNode("prune", SystemPrune.self),
      CommandNode("start", SystemStart.self),
      CommandNode("status", SystemStatus.self),
      CommandNode("stop", SystemStop.self),
      CommandNode("supervise", SystemSupervise.self),
    ]
  }

  private static var volume: [CommandNode] {
    [
      CommandNode("create", VolumeCreate.self),
      CommandNode("inspect", VolumeInspect.self),
      CommandNode("ls", VolumeList.self, aliases: ["list"]),
      CommandNode("prune", VolumePrune.self),
      CommandNode("rm", VolumeRemove.self, aliases: ["remove"]),
      CommandNode("update", VolumeUpdate.self),
    ]
  }

  /// Every word that may stand after `gantry`.
  static var root: CommandNode {
    CommandNode(group: "gantry", "A container engine for Linux", common + groups + short)
  }

  /// Docker's commands that a later version brings, so that the refusal says so instead of "unknown".
  static let later: [String: String] = [
    "build": "building comes with a later version", "builder": "building comes with a later version",
    "buildx": "building comes with a later version", "network": "networks come with a later version",
    "commit": "it comes with a later version",
    "import": "it comes with a later version", "save": "it comes with a later version",
    "prune": "use container, image, volume or system prune", "df": "use system df",
    "compose": "it comes with a later version", "context": "set GANTRY_HOST or give --host",
    "plugin": "plug-ins are not a part of Gantry", "swarm": "clusters are not a part of Gantry",
    "service": "clusters are not a part of Gantry", "stack": "clusters are not a part of Gantry",
    "node": "clusters are not a part of Gantry", "secret": "clusters are not a part of Gantry",
    "config": "clusters are not a part of Gantry", "trust": "content trust is not a part of Gantry",
  ]
}
