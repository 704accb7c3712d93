import Glibc
import RuntimeCLI

// gantry-runtime: an OCI runtime with runc's command line (Sources/RuntimeCLI/RuntimeMain.swift). Serves nothing: each call
// does its part and ends.

exit(RuntimeMain.run())
