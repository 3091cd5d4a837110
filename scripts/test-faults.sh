#!/usr/bin/env bash
# Faults on purpose, in full: kill -9 before and after every call of a whole job that changes the disk, again during the
# recovery; random kills under load; every kind of failing call, once and for a while. Takes an hour or more; the normal
# suite takes a few points of each. docs/reliability.md says what was reached.
#
#   DROPREEL_KILL_ROUNDS     random kills (10000)
#   DROPREEL_FAULTS_STRIDE   of so many points in a row one is struck in the recovery and fault sweeps (1)
set -euo pipefail
cd "$(dirname "$0")/.."
export DROPREEL_FAULTS_LONG=1 DROPREEL_KILL_ROUNDS="${DROPREEL_KILL_ROUNDS:-10000}"
stride="${DROPREEL_FAULTS_STRIDE:-1}"

run() { swift test --skip-build --no-parallel --filter "$1"; }

swift build --build-tests
failed=0
# The kills of the first run leave no point out, whatever the stride.
DROPREEL_FAULTS_STRIDE=1 run 'WatchFolderTests\.SweepTests/kills\(' || failed=1
DROPREEL_FAULTS_STRIDE="$stride" run 'WatchFolderTests\.SweepTests/(killsInRecovery|faults)' || failed=1
run 'WatchFolderTests\.ProcessTests/killedAtRandom' || failed=1
exit $failed
