/// Writes the list that the contract test goes through.
enum ContractEmitter {
  static func entries(_ documents: [Document]) -> String {
    var writer = SourceWriter(source: "Protocols", imports: ["import Protocol"])
    writer.comment("Every method and notification with its types.")
    writer.line("let contractEntries: [ContractEntry] = [")
    writer.nested { writer in
      for document in documents {
        for method in document.methods {
          writer.line("ContractEntry(\(document.service)API.Method.\(Names.escaped(method.function))),")
        }
        for notification in document.notifications {
          writer.line("ContractEntry(\(document.service)API.Notification.\(Names.escaped(notification.member))),")
        }
      }
    }
    writer.line("]")
    return writer.text
  }
}
