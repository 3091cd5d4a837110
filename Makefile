# Two commands do all the set-up: `make demo` and `make test`. The others are their parts.
SWIFT ?= swift

.PHONY: help demo table test test-faults build release packages test-packages lint format clean

help:
	@echo "make demo     install what is missing, build, make two videos with the embedded model"
	@echo "make test     install what is missing, build, run the whole test suite"
	@echo "make test-faults  kills and failing calls on purpose, in full (several hours)"
	@echo "make table    films of the embedded model by the hundred, judged (Python with torch; hours on a processor)"
	@echo "make release  build the release binaries (.build/release/dropreel)"
	@echo "make lint     check the formatting;  make format  applies it"

packages:
	@scripts/install-packages.sh build

test-packages:
	@scripts/install-packages.sh test

test-faults: test-packages
	@scripts/test-faults.sh

release: packages
	$(SWIFT) build -c release --product dropreel
	$(SWIFT) build -c release --product dropreel-watcher

demo: release
	@scripts/demo.sh

table: release
	@Training/table.sh

test: test-packages
	@scripts/test.sh

lint:
	$(SWIFT) format lint --strict --recursive Sources Tests Package.swift

format:
	$(SWIFT) format --in-place --recursive Sources Tests Package.swift

clean:
	rm -rf .build
