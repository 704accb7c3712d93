import Protocol

extension Engine {
  /// Begins what is done now and then until the shutdown: the image service is told which images were used, what nothing
  /// needs any more is collected (leases that ended, parts of transfers that nobody came back to), and `max-disk` is kept.
  public func beginUpkeep(every interval: Duration = .seconds(60), collections: Int = 10) {
    pending.run("upkeep") { [self] in
      var round = 0
      while !Task.isCancelled {
        do { try await clock.sleep(for: interval) } catch { return }
        await tellUse()
        round += 1
        if round % collections == 1 {
          _ = await collect(wait: false)
          await keepBudget()
        }
      }
    }
  }
}
