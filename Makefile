# Every target is what a person types; the gate in .ci/run types the same.

.DEFAULT_GOAL := help
.PHONY: help setup test probes lint fuzz acme-compare release-check

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

fuzz: ## coverage-guided fuzzing, SECONDS (600) for each target; what is new stays in fuzz/corpus
	bash fuzz/run $(or $(SECONDS),600)

# Not --locked: vestibule is one of its dependencies, and what that newly depends on is not in this lock file yet.
acme-compare: setup ## setup, then rustls-acme and vestibule's certificate manager against the same faults of a CA, as a table
	cd benches/acme-compare && cargo run --quiet

release-check: setup ## the gate, then what takes longer: ten million requests against hyper, the optimised build, the Synapse pair ten times, five restarts, 200 kills, five hundred lives of five years, acme-compare
	bash .ci/run
	cd fuzz && REQUESTS=10000000 ANSWERS=1000000 cargo test --locked --release --test differential -- --nocapture
	cargo test --locked --release
	for round in 1 2 3 4 5 6 7 8 9 10; do \
	    echo "Synapse pair, round $$round of 10"; \
	    cargo test --locked --release --test integration -- --exact peers::synapse_pair::synapse_pair || exit 1; \
	done
	RESTARTS_UNDER_LOAD=5 cargo test --locked --release --test integration -- --exact --nocapture peers::restarts::restarts
	YEARS=500 cargo test --locked --release --test integration -- --exact --nocapture years::five_years
	KILLS=200 cargo test --locked --release --test integration -- --exact --nocapture survival::kills::killed_at_any_moment_it_serves_the_old_or_the_new
	$(MAKE) acme-compare
