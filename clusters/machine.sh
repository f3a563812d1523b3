#!/usr/bin/env bash
# This machine's part of a Ray of your own: its head, or a node that joins one.
#   clusters/machine.sh head                            prints its address
#   clusters/machine.sh join HOST:PORT --labels site=acme
#   clusters/machine.sh stop                            on each machine, in the end
# What follows is handed to `ray start`. Several may be up on a machine, under names of their own (RAYSIM_CLUSTER, default:
# raysim): each has a folder and ports of its own, and `stop` ends that one alone. `ray stop` would end all Rays of this
# user, those of other programs too.
set -euo pipefail
export RAY_USAGE_STATS_ENABLED=0

name=${RAYSIM_CLUSTER:-raysim}
folder=${RAYSIM_CLUSTER_FOLDER:-/tmp/ray-$(id -u)-$name} # short: sockets lie in it, and their paths hold 107 bytes
patience_s=60

fail() {
  echo "error: $*" >&2
  exit 2
}

is_up() {
  [[ -f $folder/pid ]] && kill -0 "$(<"$folder/pid")" 2>/dev/null
}

# A port that is free now: Ray draws all others by itself, but not that of Ray Client.
free_port() {
  python -c 'import socket; print(socket.create_server(("", 0)).getsockname()[1])'
}

# Starts `ray start` with the arguments, which stays as long as the Ray, and waits until the Ray says that it is up.
start() {
  is_up && fail "a Ray named $name is up here already: $0 stop, or another RAYSIM_CLUSTER"
  [[ -d $folder ]] || mkdir -m 700 "$folder"
  [[ -O $folder ]] || fail "$folder is somebody else's; name another: RAYSIM_CLUSTER_FOLDER"
  rm -f "$folder/log"
  setsid ray start --block --disable-usage-stats --temp-dir="$folder/ray" --min-worker-port=0 --max-worker-port=0 \
    --dashboard-agent-listen-port=0 "$@" >"$folder/log" 2>&1 </dev/null &
  echo $! >"$folder/pid"
  for ((waited_s = 0; waited_s < patience_s; waited_s++)); do
    grep -q "Ray runtime started" "$folder/log" && return
    is_up || break
    sleep 1
  done
  tail -n 5 "$folder/log" >&2
  stop
  fail "the Ray named $name does not start; its last lines are above, all of them in $folder/log"
}

stop() {
  if is_up; then
    kill -TERM "$(<"$folder/pid")"
    for ((waited_s = 0; waited_s < patience_s; waited_s++)); do
      is_up || break
      sleep 1
    done
  fi
  rm -rf "$folder/pid" "$folder/ray"
}

case ${1:-} in
head)
  shift
  start --head --port=0 --ray-client-server-port="$(free_port)" "$@" # of an option that is there twice the last counts
  cat "$folder/ray/ray_current_cluster"
  ;;
join)
  [[ $# -ge 2 ]] || fail "usage: $0 join HOST:PORT [options of ray start]"
  address=$2
  shift 2
  start --address="$address" "$@"
  ;;
stop) stop ;;
*) fail "usage: $0 head | join HOST:PORT | stop, then options of ray start" ;;
esac
