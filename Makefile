# Every target is what a person types; the gate in .ci/run types the same.

.DEFAULT_GOAL := help
.PHONY: help setup test probes lint release-check

help: ## lists the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

setup: ## installs what the tests need and is missing: Debian packages, a Python environment in target/
	@bash tests/peers/setup.sh

test: setup ## setup, then every test: unit, documentation, and against real peers
	cargo test --locked

probes: ## setup, then the raw probes against vestibule, nginx, HAProxy and Caddy side by side, as a table
	bash tests/peers/setup.sh probes
	cargo test --locked --test integration -- --ignored --nocapture --exact probes::peers::compared

lint: ## format, clippy, documentation, dependencies, systemd units
	bash .ci/run fmt clippy doc deny systemd

release-check: setup ## the gate, then what takes longer: the tests on the optimised build, the Synapse pair ten times, five restarts
	bash .ci/run
	cargo test --locked --release
	for round in 1 2 3 4 5 6 7 8 9 10; do \
	    echo "Synapse pair, round $$round of 10"; \
	    cargo test --locked --release --test integration -- --exact peers::synapse_pair::synapse_pair || exit 1; \
	done
	RESTARTS_UNDER_LOAD=5 cargo test --locked --release --test integration -- --exact --nocapture peers::restarts::restarts
