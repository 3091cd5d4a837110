#!/usr/bin/env bash
# Faults on purpose, in full: kill -9 before and after every call of a whole job that changes the disk, again during the
# recovery; random kills under load; every kind of failing call, once and for a while; 100,000 drops over SMB; an inbox
# of 500,000 known files. Takes several hours; the normal suite takes a few points of each. docs/reliability.md says what
# was reached.
#
# Memory refused at every request of a film, by the host and by a GPU's driver.
#
#   scripts/test-faults.sh [PART...]   kills recovery faults random drops files memory; all of them unless said otherwise
#   DROPREEL_FAULTS_STRIDE   of so many points in a row one is struck in the recovery and fault sweeps (1)
#   DROPREEL_KILL_ROUNDS     random kills (10000)
#   DROPREEL_DROPS           drops over SMB (100000), DROPREEL_DROPS_PER_SECOND of them in a second (20)
#   DROPREEL_KNOWN_FILES     files of the large inbox (500000)
set -euo pipefail
cd "$(dirname "$0")/.."
parts=("$@")
if [ ${#parts[@]} -eq 0 ]; then parts=(kills recovery faults random drops files memory); fi
export DROPREEL_FAULTS_LONG=1
export DROPREEL_KILL_ROUNDS="${DROPREEL_KILL_ROUNDS:-10000}"
export DROPREEL_DROPS="${DROPREEL_DROPS:-100000}"
export DROPREEL_KNOWN_FILES="${DROPREEL_KNOWN_FILES:-500000}"
stride="${DROPREEL_FAULTS_STRIDE:-1}"

swift build --build-tests
# What is killed and made to fail is a release build: it starts and works several times as fast.
swift build -c release --product dropreel-fake
swift build -c release --product dropreel-watcher
DROPREEL_PROGRAMS=$(swift build -c release --show-bin-path)
export DROPREEL_PROGRAMS

run() { swift test --skip-build --no-parallel --filter "$1"; }

failed=0
for part in "${parts[@]}"; do
    case $part in
    # The kills of the first run leave no point out, whatever the stride.
    kills) DROPREEL_FAULTS_STRIDE=1 run 'WatchFolderTests\.SweepTests/kills\(' ;;
    recovery) DROPREEL_FAULTS_STRIDE="$stride" run 'WatchFolderTests\.SweepTests/killsInRecovery' ;;
    faults) DROPREEL_FAULTS_STRIDE="$stride" run 'WatchFolderTests\.SweepTests/faults' ;;
    random) run 'WatchFolderTests\.ProcessTests/killedAtRandom' ;;
    drops) run 'SambaTests\..*StormTests' ;;
    files) run 'WatchFolderTests\.ScaleTests' ;;
    memory) DROPREEL_EVERY_ALLOCATION=1 run 'ElasticTests\..*ExhaustionTests' ;;
    *)
        echo "no part named $part" >&2
        exit 64
        ;;
    esac || failed=1
done
exit $failed
