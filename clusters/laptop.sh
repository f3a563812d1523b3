#!/usr/bin/env bash
# A Ray on this machine that stays up between runs: each then starts a few seconds sooner, and can be submitted to.
#   export RAY_ADDRESS=$(clusters/laptop.sh start) && raysim run experiments/debug.yaml
#   clusters/laptop.sh stop
set -euo pipefail
export RAYSIM_CLUSTER=${RAYSIM_CLUSTER:-laptop}
here=$(dirname "${BASH_SOURCE[0]}")

# Its ports are open to the network, so it asks for a token, which raysim finds where Ray puts it: ~/.ray/auth_token.
export RAY_AUTH_MODE=${RAY_AUTH_MODE:-token}
if [[ ! ${RAY_AUTH_TOKEN:-}${RAY_AUTH_TOKEN_PATH:-} && ! -f ~/.ray/auth_token ]]; then
  ray get-auth-token --generate >/dev/null
fi

case ${1:-} in
start) exec "$here/machine.sh" head "${@:2}" ;;
stop) exec "$here/machine.sh" stop ;;
*)
  echo "error: usage: $0 start | stop" >&2
  exit 2
  ;;
esac
