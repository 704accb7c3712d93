/// `gantry completion`: a script that lets a shell complete gantry's words. The scripts ask `gantry __complete`, so that
/// they know containers and images as well as commands and flags, and stay right when gantry changes.
struct Completion: Command {
  static let about = About(
    usage: "SHELL", summary: "Generate the autocompletion script for bash, zsh or fish", arity: .exactly(1),
    completes: .shell,
    examples: [
      ("gantry completion bash > /etc/bash_completion.d/gantry", "For every bash"),
      ("source <(gantry completion zsh)", "For this zsh"),
      ("gantry completion fish > ~/.config/fish/completions/gantry.fish", "For every fish"),
    ])

  /// The shells that there is a script for.
  static let shells = ["bash", "zsh", "fish"]

  var shell = ""

  mutating func take(operands: [String]) throws { shell = operands[0] }

  func run(in session: Session) throws -> Int32 {
    let commands = CommandTree.root.children.filter { !$0.isHidden }.map(\.name).sorted().joined(separator: " ")
    switch shell {
    case "bash": Output.write(Self.bash(commands))
    case "zsh": Output.write(Self.zsh(commands))
    case "fish": Output.write(Self.fish(commands))
    default: throw CommandFailure("there is no completion for \"\(shell)\": it is bash, zsh or fish")
    }
    return 0
  }

  private static func bash(_ commands: String) -> String {
    """
    # bash completion for gantry: \(commands)
    _gantry() {
      local words line
      words=("${COMP_WORDS[@]:1:COMP_CWORD}")
      # bash cuts words at "=" and ":"; what it offers must begin after the last cut.
      COMPREPLY=()
      while IFS=$'\\t' read -r line _; do
        [[ -n $line ]] && COMPREPLY+=("$line")
      done < <("${COMP_WORDS[0]}" __complete "${words[@]}" 2>/dev/null)
      if [[ ${COMPREPLY[0]-} == :files ]]; then
        COMPREPLY=($(compgen -f -- "${COMP_WORDS[COMP_CWORD]}"))
      fi
      local current="${COMP_WORDS[COMP_CWORD]}"
      if [[ $current == *:* && $COMP_WORDBREAKS == *:* ]]; then
        local prefix="${current%"${current##*:}"}" i
        for i in "${!COMPREPLY[@]}"; do COMPREPLY[i]="${COMPREPLY[i]#"$prefix"}"; done
      fi
    }
    complete -o default -F _gantry gantry

    """
  }

  private static func zsh(_ commands: String) -> String {
    """
    #compdef gantry
    # zsh completion for gantry: \(commands)
    _gantry() {
      local -a offers
      local line value
      while IFS= read -r line; do
        if [[ $line == :files ]]; then _files; return; fi
        value=${line%%$'\\t'*}
        offers+=("${value//:/\\\\:}:${line#*$'\\t'}")
      done < <("${words[1]}" __complete "${(@)words[2,$CURRENT]}" 2>/dev/null)
      _describe 'gantry' offers
    }
    # Called by its name it was loaded from fpath; else it was sourced.
    if [[ ${funcstack[1]} == _gantry ]]; then _gantry; else compdef _gantry gantry; fi

    """
  }

  private static func fish(_ commands: String) -> String {
    """
    # fish completion for gantry: \(commands)
    function __gantry_complete
      set -l words (commandline -opc) (commandline -ct)
      set -l offers (command gantry __complete $words[2..-1] 2>/dev/null)
      if test "$offers[1]" = ":files"
        __fish_complete_path (commandline -ct)
      else
        printf '%s\\n' $offers
      end
    end
    complete -c gantry -f -a '(__gantry_complete)'

    """
  }
}
