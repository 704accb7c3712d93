import JSONRPC
import Testing

@testable import CLI

/// The subset of Go's templates that `--format` takes.
@Suite struct TemplateTests {
  static let value: JSONValue = [
    "Name": "web", "Id": "0123456789abcdef", "Count": 3, "Zero": 0, "Ratio": 1.5, "On": true, "Off": false,
    "Nothing": nil, "Empty": "", "List": ["a", "b", "c"], "None": [],
    "Map": ["x": "1", "y.z": "2"], "State": ["Pid": 42, "Running": true],
    "Mounts": [["Source": "/a", "RW": true], ["Source": "/b", "RW": false]],
  ]

  static let table: [(String, String)] = [
    ("{{.Name}}", "web"), ("plain", "plain"), ("{{.State.Pid}}", "42"), ("a{{ .Name }}b", "awebb"),
    ("{{json .List}}", #"["a","b","c"]"#), ("{{json .Name}}", #""web""#), ("{{json .Nothing}}", "null"),
    ("{{json .Map}}", #"{"x":"1","y.z":"2"}"#), ("{{.List}}", "[a b c]"), ("{{.Map}}", "map[x:1 y.z:2]"),
    ("{{.Ratio}} {{.On}} {{.Nothing}}", "1.5 true <nil>"),
    ("{{upper .Name}}{{lower \"ABC\"}}{{title \"two words\"}}", "WEBabcTwo Words"),
    ("{{join .List \", \"}}", "a, b, c"), ("{{split \"a:b\" \":\"}}", "[a b]"),
    ("{{len .List}}{{len .Name}}{{len .Map}}{{len .Nothing}}", "3320"),
    ("{{index .List 1}}{{index .Map \"y.z\"}}{{index .Map \"no\"}}", "b2"),
    ("{{index .Mounts 1 \"Source\"}}", "/b"), ("{{(index .Mounts 0).Source}}", "/a"),
    ("{{truncate .Id 4}}", "0123"), ("{{slice .Id 2 5}}", "234"), ("{{pad .Name 1 2}}|", " web  |"),
    ("{{range .List}}[{{.}}]{{end}}", "[a][b][c]"), ("{{range .None}}x{{else}}none{{end}}", "none"),
    ("{{range $i, $v := .List}}{{$i}}={{$v}} {{end}}", "0=a 1=b 2=c "),
    ("{{range $k, $v := .Map}}{{$k}}:{{$v};}}{{end}}", ""),
    ("{{range $k, $v := .Map}}{{$k}}:{{$v}};{{end}}", "x:1;y.z:2;"),
    ("{{range .Mounts}}{{.Source}}{{if .RW}}(rw){{end}} {{end}}", "/a(rw) /b "),
    ("{{range .List}}{{if eq . \"b\"}}{{continue}}{{end}}{{.}}{{end}}", "ac"),
    ("{{range .List}}{{if eq . \"b\"}}{{break}}{{end}}{{.}}{{end}}", "a"),
    ("{{if .On}}yes{{else}}no{{end}}{{if .Off}}yes{{else}}no{{end}}", "yesno"),
    ("{{if .Zero}}a{{else if .Count}}b{{else}}c{{end}}", "b"), ("{{if not .Empty}}empty{{end}}", "empty"),
    ("{{with .State}}{{.Pid}}{{end}}{{with .Nothing}}x{{else}}y{{end}}", "42y"),
    ("{{$n := .Name}}{{range .List}}{{$n}}{{.}} {{end}}", "weba webb webc "),
    ("{{$s := \"\"}}{{range .List}}{{$s = .}}{{end}}{{$s}}", "c"), ("{{range .List}}{{$.Name}}{{end}}", "webwebweb"),
    ("{{.Name | upper | printf \"<%s>\"}}", "<WEB>"),
    (
      "{{printf \"%-5s|%5d|%05d|%.2f|%q|%x\" .Name 7 42 1.005 .Name 255}}",
      "web  |    7|00042|1.00|\"web\"|ff"
    ),
    ("{{printf \"%v %t %%\" .List .On}}", "[a b c] true %"), ("{{println .Name .Count}}", "web 3\n"),
    ("{{print 1 2 \"a\" \"b\" 3}}", "1 2ab3"),
    ("{{eq .Name \"web\"}} {{eq .Count 1 2 3}} {{ne .Count 3}} {{lt 1 2}} {{ge 2.5 2}}", "true true false true true"),
    ("{{and .On .Name}} {{or .Empty \"default\"}} {{and .Off .Nope}}", "web default false"),
    ("a  {{- .Name -}}  b", "awebb"), ("a {{/* a comment */}}b", "a b"), ("a {{- /* a comment */ -}} b", "ab"),
    ("{{\"q\\\"\\n\"}}{{`raw\\n`}}{{'a'}}", "q\"\nraw\\n97"), ("{{true}} {{nil | json}}", "true null"),
    ("{{ (printf \"%s\" .Name) | len }}", "3"), ("{{.State.Running | not}}", "false"),
  ]

  @Test(arguments: table) func gives(template: String, wanted: String) throws {
    if wanted.isEmpty, template.contains(";}}") {
      // A word that is no word is refused.
      #expect(throws: CommandFailure.self) { try Template(template) }
      return
    }
    #expect(try Template(template).text(for: Self.value) == wanted)
  }

  @Test(arguments: [
    "{{.Name", "{{if .On}}", "{{end}}", "{{else}}", "{{nofunction .}}", "{{}}", "{{(.Name}}", "{{.Name)}}", "{{|}}",
    "{{range .List}}", "{{\"open}}", "{{break}}", "{{template \"x\"}}", "{{/* open", "{{.Name | }}", "{{$x, $y := 1}}",
  ])
  func refusesAtOnce(template: String) {
    let failure = #expect(throws: CommandFailure.self) { try Template(template) }
    #expect(failure?.message.contains("template parsing error") == true)
    #expect(failure?.message.contains(template) == true)
  }

  @Test(arguments: [
    ("{{.Nope}}", "no field .Nope"), ("{{.Nam}}", "did you mean .Name?"),
    ("{{.Name.More}}", "can't evaluate field .More"),
    ("{{.Nothing.More}}", "nil pointer"), ("{{index .List 9}}", "out of range"), ("{{len 3}}", "no length"),
    ("{{lt 1 \"a\"}}", "incompatible types"), ("{{upper}}", "wrong number of args"), ("{{$x}}", "undefined variable"),
    ("{{range 1.5}}{{end}}", "can't iterate"), ("{{.Name 1}}", "can't give arguments"),
  ])
  func failsWithAReason(template: String, wanted: String) throws {
    let failure = #expect(throws: CommandFailure.self) { try Template(template).text(for: Self.value) }
    #expect(failure?.message.contains(wanted) == true, "\(failure?.message ?? "")")
  }

  @Test func methodsOfTheInputTakeArguments() throws {
    let template = try Template("{{.Label \"a\"}}{{range .List}}{{$.Label \"b\"}}{{end}}")
    let text = try template.text(for: Self.value) { name, arguments in
      name == "Label" ? .string("<\(arguments[0].text)>") : nil
    }
    #expect(text == "<a><b><b><b>")
  }

  @Test func jsonEscapes() {
    #expect(JSONValue.string("a\"b\\c\nd\u{1}é/").json == #""a\"b\\c\nd\u0001é/""#)
    let value: JSONValue = [["a": 1, "b": []], [:]]
    #expect(value.indentedJSON == "[\n    {\n        \"a\": 1,\n        \"b\": []\n    },\n    {}\n]")
  }
}
