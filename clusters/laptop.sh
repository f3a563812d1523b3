#!/usr/bin/env bash
# A Ray that stays up between runs: each run then starts a few seconds sooner.
#   clusters/laptop.sh && raysim run experiments/debug.yaml --address auto
# `ray stop` ends it.
set -euo pipefail
export RAY_USAGE_STATS_ENABLED=0
ray start --head --include-dashboard=false --disable-usage-stats
