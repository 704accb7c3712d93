/// The flags of Docker 28's commands that Gantry has, from its public reference: what a user's fingers know.
enum DockerFlags {
  /// Flags by command, separated by spaces.
  static let byCommand: [(path: String, flags: String)] = [
    (
      "run",
      """
      --add-host --annotation -a --attach --blkio-weight --blkio-weight-device --cap-add --cap-drop \
      --cgroup-parent --cgroupns --cidfile --cpu-count --cpu-percent --cpu-period --cpu-quota \
      --cpu-rt-period --cpu-rt-runtime -c --cpu-shares --cpus --cpuset-cpus --cpuset-mems -d --detach \
      --detach-keys --device --device-cgroup-rule --device-read-bps --device-read-iops --device-write-bps \
      --device-write-iops --disable-content-trust --dns --dns-option --dns-search --domainname \
      --entrypoint -e --env --env-file --expose --gpus --group-add --health-cmd --health-interval \
      --health-retries --health-start-interval --health-start-period --health-timeout -h --hostname --init \
      -i --interactive --io-maxbandwidth --io-maxiops --ip --ip6 --ipc --isolation --kernel-memory -l \
      --label --label-file --link --link-local-ip --log-driver --log-opt --mac-address -m --memory \
      --memory-reservation --memory-swap --memory-swappiness --mount --name --network --network-alias \
      --no-healthcheck --oom-kill-disable --oom-score-adj --pid --pids-limit --platform --privileged -p \
      --publish -P --publish-all --pull -q --quiet --read-only --restart --rm --runtime --security-opt \
      --shm-size --sig-proxy --stop-signal --stop-timeout --storage-opt --sysctl --tmpfs -t --tty --ulimit \
      --use-api-socket -u --user --userns --uts -v --volume --volume-driver --volumes-from -w --workdir
      """
    ),
    (
      "create",
      """
      --add-host --annotation -a --attach --blkio-weight --blkio-weight-device --cap-add --cap-drop \
      --cgroup-parent --cgroupns --cidfile --cpu-count --cpu-percent --cpu-period --cpu-quota \
      --cpu-rt-period --cpu-rt-runtime -c --cpu-shares --cpus --cpuset-cpus --cpuset-mems --device \
      --device-cgroup-rule --device-read-bps --device-read-iops --device-write-bps --device-write-iops \
      --disable-content-trust --dns --dns-option --dns-search --domainname --entrypoint -e --env \
      --env-file --expose --gpus --group-add --health-cmd --health-interval --health-retries \
      --health-start-interval --health-start-period --health-timeout -h --hostname --init -i --interactive \
      --io-maxbandwidth --io-maxiops --ip --ip6 --ipc --isolation --kernel-memory -l --label --label-file \
      --link --link-local-ip --log-driver --log-opt --mac-address -m --memory --memory-reservation \
      --memory-swap --memory-swappiness --mount --name --network --network-alias --no-healthcheck \
      --oom-kill-disable --oom-score-adj --pid --pids-limit --platform --privileged -p --publish -P \
      --publish-all --pull -q --quiet --read-only --restart --rm --runtime --security-opt --shm-size \
      --stop-signal --stop-timeout --storage-opt --sysctl --tmpfs -t --tty --ulimit --use-api-socket -u \
      --user --userns --uts -v --volume --volume-driver --volumes-from -w --workdir
      """
    ),
    ("start", "-a --attach --checkpoint --checkpoint-dir --detach-keys -i --interactive"),
    ("stop", "-s --signal -t --timeout"),
    ("kill", "-s --signal"),
    ("restart", "-s --signal -t --timeout"),
    ("rm", "-f --force -l --link -v --volumes"),
    ("ps", "-a --all -f --filter --format -n --last -l --latest --no-trunc -q --quiet -s --size"),
    ("inspect", "-f --format -s --size --type"),
    ("logs", "--details -f --follow --since -n --tail -t --timestamps --until"),
    (
      "exec",
      """
      -d --detach --detach-keys -e --env --env-file -i --interactive --privileged -t --tty -u --user -w \
      --workdir
      """
    ),
    ("attach", "--detach-keys --no-stdin --sig-proxy"),
    ("cp", "-a --archive -L --follow-link -q --quiet"),
    ("export", "-o --output"),
    ("container cp", "-a --archive -L --follow-link -q --quiet"),
    ("container export", "-o --output"),
    ("stats", "-a --all --format --no-stream --no-trunc"),
    ("checkpoint create", "--checkpoint-dir --leave-running"),
    ("checkpoint ls", "--checkpoint-dir"),
    ("checkpoint rm", "--checkpoint-dir"),
    ("events", "-f --filter --format --since --until"),
    ("images", "-a --all --digests -f --filter --format --no-trunc -q --quiet --tree"),
    ("load", "-i --input --platform -q --quiet"),
    ("manifest create", "-a --amend --insecure"),
    ("manifest annotate", "--arch --os --os-features --os-version --variant"),
    ("manifest inspect", "--insecure -v --verbose"),
    ("manifest push", "--insecure -p --purge"),
    ("manifest rm", ""),
    ("login", "-p --password --password-stdin -u --username"),
    ("logout", ""),
    ("push", "-a --all-tags --disable-content-trust --platform -q --quiet"),
    ("image push", "-a --all-tags --disable-content-trust --platform -q --quiet"),
    ("search", "-f --filter --format --limit --no-trunc"),
    ("rmi", "-f --force --no-prune --platform"),
    ("history", "--format -H --human --no-trunc --platform -q --quiet"),
    ("version", "-f --format"),
    ("info", "-f --format"),
    (
      "container run",
      """
      --add-host --annotation -a --attach --blkio-weight --blkio-weight-device --cap-add --cap-drop \
      --cgroup-parent --cgroupns --cidfile --cpu-count --cpu-percent --cpu-period --cpu-quota \
      --cpu-rt-period --cpu-rt-runtime -c --cpu-shares --cpus --cpuset-cpus --cpuset-mems -d --detach \
      --detach-keys --device --device-cgroup-rule --device-read-bps --device-read-iops --device-write-bps \
      --device-write-iops --disable-content-trust --dns --dns-option --dns-search --domainname \
      --entrypoint -e --env --env-file --expose --gpus --group-add --health-cmd --health-interval \
      --health-retries --health-start-interval --health-start-period --health-timeout -h --hostname --init \
      -i --interactive --io-maxbandwidth --io-maxiops --ip --ip6 --ipc --isolation --kernel-memory -l \
      --label --label-file --link --link-local-ip --log-driver --log-opt --mac-address -m --memory \
      --memory-reservation --memory-swap --memory-swappiness --mount --name --network --network-alias \
      --no-healthcheck --oom-kill-disable --oom-score-adj --pid --pids-limit --platform --privileged -p \
      --publish -P --publish-all --pull -q --quiet --read-only --restart --rm --runtime --security-opt \
      --shm-size --sig-proxy --stop-signal --stop-timeout --storage-opt --sysctl --tmpfs -t --tty --ulimit \
      --use-api-socket -u --user --userns --uts -v --volume --volume-driver --volumes-from -w --workdir
      """
    ),
    (
      "container create",
      """
      --add-host --annotation -a --attach --blkio-weight --blkio-weight-device --cap-add --cap-drop \
      --cgroup-parent --cgroupns --cidfile --cpu-count --cpu-percent --cpu-period --cpu-quota \
      --cpu-rt-period --cpu-rt-runtime -c --cpu-shares --cpus --cpuset-cpus --cpuset-mems --device \
      --device-cgroup-rule --device-read-bps --device-read-iops --device-write-bps --device-write-iops \
      --disable-content-trust --dns --dns-option --dns-search --domainname --entrypoint -e --env \
      --env-file --expose --gpus --group-add --health-cmd --health-interval --health-retries \
      --health-start-interval --health-start-period --health-timeout -h --hostname --init -i --interactive \
      --io-maxbandwidth --io-maxiops --ip --ip6 --ipc --isolation --kernel-memory -l --label --label-file \
      --link --link-local-ip --log-driver --log-opt --mac-address -m --memory --memory-reservation \
      --memory-swap --memory-swappiness --mount --name --network --network-alias --no-healthcheck \
      --oom-kill-disable --oom-score-adj --pid --pids-limit --platform --privileged -p --publish -P \
      --publish-all --pull -q --quiet --read-only --restart --rm --runtime --security-opt --shm-size \
      --stop-signal --stop-timeout --storage-opt --sysctl --tmpfs -t --tty --ulimit --use-api-socket -u \
      --user --userns --uts -v --volume --volume-driver --volumes-from -w --workdir
      """
    ),
    ("container start", "-a --attach --checkpoint --checkpoint-dir --detach-keys -i --interactive"),
    ("container stop", "-s --signal -t --timeout"),
    ("container kill", "-s --signal"),
    ("container restart", "-s --signal -t --timeout"),
    ("container rm", "-f --force -l --link -v --volumes"),
    ("container ls", "-a --all -f --filter --format -n --last -l --latest --no-trunc -q --quiet -s --size"),
    ("container inspect", "-f --format -s --size"),
    ("container logs", "--details -f --follow --since -n --tail -t --timestamps --until"),
    (
      "container exec",
      """
      -d --detach --detach-keys -e --env --env-file -i --interactive --privileged -t --tty -u --user -w \
      --workdir
      """
    ),
    ("container attach", "--detach-keys --no-stdin --sig-proxy"),
    ("image ls", "-a --all --digests -f --filter --format --no-trunc -q --quiet --tree"),
    ("image inspect", "-f --format --platform"),
    ("image rm", "-f --force --no-prune --platform"),
    ("image load", "-i --input --platform -q --quiet"),
    ("image history", "--format -H --human --no-trunc --platform -q --quiet"),
    ("system events", "-f --filter --format --since --until"),
    ("system info", "-f --format"),
    ("system df", "--format -v --verbose"),
    ("system prune", "-a --all --filter -f --force --volumes"),
    ("container prune", "--filter -f --force"),
    ("image prune", "-a --all --filter -f --force"),
    (
      "volume create",
      """
      --availability -d --driver --group --label --limit-bytes -o --opt --required-bytes --scope --secret --sharing \
      --topology-preferred --topology-required --type
      """
    ),
    ("volume inspect", "-f --format"),
    ("volume ls", "--cluster -f --filter --format -q --quiet"),
    ("volume prune", "-a --all --filter -f --force"),
    ("volume rm", "-f --force"),
    ("volume update", "--availability"),
  ]
}
