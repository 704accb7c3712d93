/// Writes the list that the contract test goes through.
enum ContractEmitter {
  static func entries(_ documents: [Document]) -> String {
    var writer = SourceWriter(source: "Protocols", imports: ["import Protocol"])
    writer.comment("Every method and notification with its types.")
    writer.line("let contractEntries: [ContractEntry] = [")
    writer.nested { writer in
      for document in documents {
        for method in document.methods {
          let member = Names.escaped(method.function)
          writer.line("ContractEntry(\"\(document.file)\", \(document.service)API.Method.\(member)),")
        }
        for notification in document.notifications {
          let member = Names.escaped(notification.member)
          writer.line("ContractEntry(\"\(document.file)\", \(document.service)API.Notification.\(member)),")
        }
      }
    }
    writer.line("]")
    return writer.text
  }
}
