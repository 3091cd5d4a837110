#!/usr/bin/env bash
# Builds everything and runs the whole suite: the golden cases through the binary, then every test.
# Suites that start services, servers and watchers run one after the other; the rest run side by side.
set -euo pipefail
cd "$(dirname "$0")/.."
one_by_one='^(IntakeTests|WatchFolderTests|SambaTests)\.'

swift build --build-tests
binaries=$(swift build --show-bin-path)

echo "Golden cases:"
"$binaries/dropreel" selftest --reference Tests/Golden --quiet

swift test --skip-build --skip "$one_by_one"
swift test --skip-build --no-parallel --filter "$one_by_one"
