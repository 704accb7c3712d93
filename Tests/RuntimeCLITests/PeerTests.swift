import Foundation
import SystemPackage
import TestSupport
import Testing

/// Engines of others with gantry-runtime as their runtime: a container runs, is exec'd, paused, limited, stopped, removed.
///
/// Each engine has folders and sockets of its own and is ended before its test is.
@Suite(.root, .serialized, .timeLimit(.minutes(5)))
struct PeerTests {
  private static func has(_ program: String) -> Bool {
    ["/usr/bin/", "/usr/sbin/", "/bin/", "/sbin/"].contains { access($0 + program, X_OK) == 0 }
  }

  /// Runs `script` with `$D` a folder of its own, `$R` the runtime and `$I` a docker-archive of busybox. Functions: `fail`,
  /// and `until_ COMMAND`, which waits 15 s for it.
  private func run(_ script: String) async throws -> Output {
    let image = try await TestImage.busybox()
    let body = """
      set -eu
      D=$(mktemp -d /tmp/peer-XXXXXX) R=\(Bundle.executable) I=\(image)
      fail() { echo "$*" >&2; exit 1; }
      until_() { n=0; while ! "$@" >/dev/null 2>&1; do n=$((n + 1)); [ $n -lt 300 ] || fail "never: $*"; /bin/busybox usleep 50000; done; }
      end() { kill $1 2>/dev/null || true; n=0; while kill -0 $1 2>/dev/null && [ $n -lt 200 ]; do n=$((n + 1)); /bin/busybox usleep 50000; done; kill -9 $1 2>/dev/null || true; }
      clean() { for m in $(grep -o " $D[^ ]*" /proc/mounts | sort -r); do umount -l $m 2>/dev/null || true; done; rm -rf $D; }
      \(script)
      """
    return try await Command.run(["/bin/sh", "-c", body], seconds: 200)
  }

  @Test(.enabled(if: has("podman"), "needs podman (deploy/lib/packages test)"))
  func podman() async throws {
    let output = try await run(
      """
      trap 'set +e; $P rm -af -t 0 >/dev/null 2>&1; clean' EXIT
      L="--ulimit nofile=1024:1024 --ulimit nproc=1024:1024 --network none"
      P="podman --root $D/p --runroot $D/r --cgroup-manager=cgroupfs --runtime $R"
      $P load -q -i $I >/dev/null
      [ "$($P run --rm $L busybox echo hello)" = hello ] || fail output
      c=0; $P run --rm $L busybox sh -c 'exit 7' || c=$?; [ $c = 7 ] || fail "exit code $c"
      c=0; $P run --rm $L busybox nosuch 2>/dev/null || c=$?; [ $c = 127 ] || fail "exit code $c of nosuch"
      $P run -d --name one $L --memory 64m --pids-limit 50 busybox sleep 1000 >/dev/null
      [ "$($P exec one cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/pids/pids.max 2>/dev/null ||
        $P exec one cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max)" = "67108864
      50" ] || fail limits
      c=0; $P exec one sh -c 'exit 9' || c=$?; [ $c = 9 ] || fail "exec exit code $c"
      [ "$(echo typed | $P exec -i one cat)" = typed ] || fail "exec input"
      $P exec -t one tty | grep -q /dev/pts || fail "exec terminal"
      $P pause one >/dev/null; [ "$($P inspect -f '{{.State.Status}}' one)" = paused ] || fail pause
      $P unpause one >/dev/null
      $P top one | grep -q sleep || fail top
      $P stop -t 1 one >/dev/null; [ "$($P inspect -f '{{.State.Status}}' one)" = exited ] || fail stop
      $P start one >/dev/null; $P kill one >/dev/null; until_ test "$($P inspect -f '{{.State.Running}}' one)" = false
      $P rm -f -t 0 one >/dev/null
      [ -z "$($P ps -aq)" ] || fail left
      echo fine
      """)
    #expect(output.trimmed == "fine", "\(output)")
  }

  @Test(.enabled(if: has("containerd") && has("ctr"), "needs containerd (deploy/lib/packages test)"))
  func containerd() async throws {
    let output = try await run(
      """
      C="ctr -a $D/c.sock"
      printf 'version = 2\\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\\nroot = "%s"\\nstate = "%s"\\n[grpc]\\naddress = "%s"\\n' \\
        $D/root $D/state $D/c.sock >$D/config.toml
      containerd -c $D/config.toml >$D/log 2>&1 & pid=$!
      trap 'set +e; for t in $($C task ls -q 2>/dev/null); do $C task rm -f $t; done >/dev/null 2>&1; end $pid; clean' EXIT
      until_ $C version
      $C image import --all-platforms $I >/dev/null || $C image import $I >/dev/null
      N=$($C image ls -q | head -n 1)
      run() { $C run --runc-binary $R --runtime io.containerd.runc.v2 "$@"; }
      [ "$(run --rm $N t1 echo hello)" = hello ] || fail output
      c=0; run --rm $N t2 sh -c 'exit 7' || c=$?; [ $c = 7 ] || fail "exit code $c"
      run --rm $N t3 nosuch 2>$D/err && fail "nosuch ran"; grep -q 'executable file not found in \\$PATH' $D/err || fail "$(cat $D/err)"
      run -d --memory-limit 67108864 $N one sleep 1000
      $C task ls | grep one | grep -q RUNNING || fail running
      [ "$($C task exec --exec-id e1 one echo inside)" = inside ] || fail exec
      c=0; $C task exec --exec-id e2 one sh -c 'exit 9' || c=$?; [ $c = 9 ] || fail "exec exit code $c"
      script -qec "$C task exec -t --exec-id e3 one tty" /dev/null | grep -q /dev/pts || fail "exec terminal"
      $C task metrics one | grep -q memory || fail metrics
      $C task pause one; $C task ls | grep one | grep -q PAUSED || fail pause
      $C task resume one
      $C task ps one | grep -q '[0-9]' || fail ps
      $C task kill -s KILL one; until_ sh -c "$C task ls | grep one | grep -q STOPPED"
      $C task rm one 2>/dev/null || true
      $C container rm one
      [ -z "$($C task ls -q)$($C container ls -q)" ] || fail left
      echo fine
      """)
    #expect(output.trimmed == "fine", "\(output)")
  }

  @Test(.enabled(if: has("dockerd") && has("docker"), "needs docker.io (deploy/lib/packages test)"))
  func dockerd() async throws {
    let output = try await run(
      """
      export DOCKER_HOST=unix://$D/d.sock
      dockerd --add-runtime gantry=$R --default-runtime gantry --data-root $D/data --exec-root $D/exec --pidfile $D/pid \\
        -H unix://$D/d.sock --iptables=false --ip6tables=false --ip-forward=false --ip-masq=false --bridge=none --exec-opt native.cgroupdriver=cgroupfs >$D/log 2>&1 & pid=$!
      trap 's=$?; set +e; [ $s = 0 ] || tail -n 20 $D/log >&2; docker rm -f $(docker ps -aq) >/dev/null 2>&1; end $pid; clean; exit $s' EXIT
      until_ docker version
      docker load -q -i $I >/dev/null
      L="--network none"
      [ "$(docker run --rm $L busybox echo hello)" = hello ] || fail output
      c=0; docker run --rm $L busybox sh -c 'exit 7' || c=$?; [ $c = 7 ] || fail "exit code $c"
      c=0; docker run --rm $L busybox nosuch 2>/dev/null || c=$?; [ $c = 127 ] || fail "exit code $c of nosuch"
      c=0; docker run --rm $L busybox /etc 2>/dev/null || c=$?; [ $c = 126 ] || fail "exit code $c of a folder"
      docker run -d --name one $L --memory 64m --pids-limit 50 busybox sleep 1000 >/dev/null
      docker inspect -f '{{.HostConfig.Runtime}}' one | grep -q gantry || fail runtime
      [ "$(docker exec one cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/pids/pids.max 2>/dev/null ||
        docker exec one cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max)" = "67108864
      50" ] || fail limits
      docker update --memory 32m --memory-swap 64m one >/dev/null
      c=0; docker exec one sh -c 'exit 9' || c=$?; [ $c = 9 ] || fail "exec exit code $c"
      [ "$(echo typed | docker exec -i one cat)" = typed ] || fail "exec input"
      script -qec 'docker exec -t one tty' /dev/null | grep -q /dev/pts || fail "exec terminal"
      docker pause one >/dev/null; [ "$(docker inspect -f '{{.State.Status}}' one)" = paused ] || fail pause
      docker unpause one >/dev/null
      docker top one | grep -q sleep || fail top
      docker stats --no-stream one | grep -q MiB || fail stats
      docker stop -t 1 one >/dev/null; [ "$(docker inspect -f '{{.State.ExitCode}}' one)" = 137 ] || fail stop
      docker start one >/dev/null; docker kill one >/dev/null
      docker rm -f one >/dev/null
      [ -z "$(docker ps -aq)" ] || fail left
      echo fine
      """)
    #expect(output.trimmed == "fine", "\(output)")
  }
}
