# Nothing but calls: what a target does is in scripts/ and xtask/.
# ARGS goes to the program: make demo ARGS="--headless --json demo.json"

.DEFAULT_GOAL := help
.PHONY: help demo test bench fuzz check setup deny audit

help: ## list these targets
	@grep -E '^[a-z]+:.*## ' Makefile | sed -E 's/:[^#]*## /\t/' | expand -t 12

demo: ## replay eight years of real history to five devices, and compare every copy
	@scripts/setup.sh
	@scripts/demo.sh $(ARGS)

test: ## everything that a submission must pass
	@scripts/setup.sh --checks
	@scripts/check.sh
	@scripts/wasm.sh
	@scripts/docs.sh
	@scripts/test.sh
	@scripts/schemathesis.sh

bench: ## measure, as JSON lines and a table
	@scripts/setup.sh
	@scripts/bench.sh $(ARGS)

fuzz: ## go on fuzzing: make fuzz ARGS="30 replica" for 30 minutes of one target (needs nightly)
	@scripts/fuzz.sh $(ARGS)

check: ## the quick checks: format, lints, rules of the house, licences
	@scripts/setup.sh --checks
	@scripts/check.sh

setup: ## install what is missing: C compiler, Rust
	@scripts/setup.sh --checks

deny: ## licences, bans and sources of the dependencies (needs cargo-deny)
	@scripts/deny.sh licenses bans sources

audit: ## known faults of the dependencies (needs cargo-deny and a network)
	@scripts/deny.sh advisories
