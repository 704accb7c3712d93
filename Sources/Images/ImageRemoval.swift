public import Faults
internal import GRDB
public import OCI

extension ImageStore {
  /// Removes a name, and with the last name the image; or the image by its id. Docker's rules:
  ///
  /// - a name that is not the image's last is only untagged;
  /// - the last name, or an id, of an image that containers use needs `force`; the image then stays when it was named by
  ///   name;
  /// - an id that has names in several repositories needs `force`.
  ///
  /// - Parameter inUse: the ids of images that containers were made of.
  /// - Throws: `notFound`, `conflict` in Docker's words.
  public func remove(_ reference: String, force: Bool = false, inUse: Set<Digest> = []) throws(Fault) -> Removal {
    var (removal, collected) = try changeAndCollect { database in
      let found = try Self.find(database, reference)
      let id = found.row.id
      let names = try ImageQueries.names(database, id: id)
      let used = inUse.contains(id)
      var removal = Removal()
      func untag(_ names: [NameRow]) throws {
        for name in names {
          try ImageQueries.removeName(database, repository: name.repository, tag: name.tag)
          removal.untagged.append(name.familiar)
        }
      }

      if let name = found.name {
        let named = names.filter { row in
          row.repository == name.name
            && (name.digest == nil ? row.tag == name.tag : row.manifest == found.row.manifest.digest)
        }
        let isLast = named.count == names.count
        if isLast, used, !force {
          throw Fault(
            .conflict,
            "conflict: unable to remove repository reference \"\(name.familiar)\" (must force) - a container is using its referenced image \(id.short)"
          )
        }
        try untag(named)
        if !isLast || used { return removal }
      } else {
        if Set(names.map(\.repository)).count > 1, !force {
          throw Fault(
            .conflict,
            "conflict: unable to delete \(id.short) (must be forced) - image is referenced in multiple repositories")
        }
        if used, !force {
          throw Fault(
            .conflict, "conflict: unable to delete \(id.short) (must be forced) - image is being used by a container")
        }
        try untag(names)
      }
      let before = try ImageQueries.images(database, id: id)
        .flatMap { try ImageQueries.layers(database, manifest: $0.manifest.digest).map(\.chainID) }
      try ImageQueries.removeImages(database, id: id)
      let left = try ImageQueries.chainIDs(database)
      removal.deleted.append(id)
      for chainID in before.reversed() where !left.contains(chainID) && !removal.deleted.contains(chainID) {
        removal.deleted.append(chainID)
      }
      return removal
    }
    removal.bytes = collected.bytes
    return removal
  }
}
