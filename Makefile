# The whole system on this machine. Settings: see the table in README.md, or `make help`.

.DEFAULT_GOAL := help
.PHONY: help up down status logs deploy clean test first-run import rotate-key redrive verify-audit mail bench faults trail-at-scale sqlx generate rustdoc front-end

# Compiled at the first call; cargo says so while it takes time. Not named LOCAL_STACK: that
# is what the orchestrator calls itself for the commands that it runs, make among them.
ORCHESTRATOR = cargo run --quiet --package local-stack --

# The groups are the lines that begin with `##@`.
help: orchestrator ## Show what can be done
	@awk -F ':.*## ' '/^##@/ { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@$(ORCHESTRATOR) --help | sed -n '/^Settings/,$$p'

orchestrator:
	$(if $(wildcard $(addsuffix /local-stack,$(addprefix $(or $(CARGO_TARGET_DIR),target)/,debug */debug))),,\
	  @echo 'Compiling the orchestrator first (about 20 s)' && cargo build --package local-stack)
.PHONY: orchestrator

##@ The stack

up: orchestrator ## Set everything up, deploy, and print the API's URL
	@$(ORCHESTRATOR) up

down: orchestrator ## Stop everything; the data stays
	@$(ORCHESTRATOR) down

status: orchestrator ## Show what is running, where, and how it is
	@$(ORCHESTRATOR) status || true

logs: orchestrator ## List the logs; with NAME=kafka (or a function's name) follow one
	@$(ORCHESTRATOR) logs $(if $(NAME),--follow $(NAME))

mail: orchestrator ## List the mail that was sent; with TO=zoe@clinic.example show theirs
	@$(ORCHESTRATOR) mail $(TO)

import: orchestrator ## Create the patients of data/synthea/patients.csv; again to go on; ARGS="--limit 50" for some
	@SQLX_OFFLINE=true $(ORCHESTRATOR) exec cargo run --bin import-patients -- \
	  --report $${STACK_DIR:-.local}/import/report.json $(ARGS)

clean: orchestrator ## Stop everything and remove the data
	@$(ORCHESTRATOR) clean

deploy: orchestrator ## Deploy everything again with SAM
	@$(ORCHESTRATOR) deploy

##@ Tests

# On a stack of its own, which is stopped afterwards.
test: orchestrator ## Run every test
	cargo fmt --all --check
	SQLX_OFFLINE=true cargo clippy --quiet --workspace --all-targets -- --deny warnings
	@$(MAKE) --no-print-directory rustdoc
	@STACK_DIR=$${STACK_DIR:-.local/test} STACK_PORTS=$${STACK_PORTS:-auto} \
	  $(ORCHESTRATOR) run --fresh -- $(MAKE) --no-print-directory test-on-stack

# What `make test` runs once the stack is up.
test-on-stack:
	cargo test --workspace
	cargo run --bin faults -- --short
	cd localstack/extension && $$LOCAL_STACK tool ruff check --config pyproject.toml . ../kafka ../*.py ../../tests/schemathesis ../../tests/template
	cd localstack/extension && $$LOCAL_STACK tool pytest
	cd tests/template && $$LOCAL_STACK tool pytest -p no:cacheprovider
	$$LOCAL_STACK tool cfn-lint template.yaml
	$$LOCAL_STACK tool sam validate --lint
	@if command -v npm > /dev/null; then $(MAKE) --no-print-directory front-end; \
	  else echo 'Without npm on the path: the API document is not linted, and no client compiled from it'; fi
	cd tests/schemathesis && $$LOCAL_STACK tool schemathesis run ../../docs/openapi.json --url $$API_URL
.PHONY: test-on-stack

# Needs node 20.19 or later with npm.
front-end: tests/front-end/node_modules/.package-lock.json ## Lint the API document, and compile a TypeScript client from it
	cd tests/front-end && npm test --silent

tests/front-end/node_modules/.package-lock.json: tests/front-end/package-lock.json
	cd tests/front-end && npm ci --ignore-scripts --no-audit --no-fund --silent
	@touch $@

rustdoc: ## Build the code's documentation; warnings are errors
	SQLX_OFFLINE=true RUSTDOCFLAGS=--deny=warnings cargo doc --quiet --workspace --no-deps --lib

# The macros look at the database while they are compiled, so everything is compiled anew.
sqlx: orchestrator ## Write the data of the checked queries anew, from the running stack's database
	@rm -rf .sqlx && mkdir .sqlx && find functions -path '*/src/*.rs' -exec touch {} +
	@$(ORCHESTRATOR) exec env SQLX_OFFLINE=false SQLX_OFFLINE_DIR=$(CURDIR)/.sqlx cargo check --workspace --all-targets

# From the routes and the parts of the template: the programs of the functions, template.yaml, the
# API's document, and the tables in docs/. A test holds them.
generate: ## Write anew what is made from the routes
	@SQLX_OFFLINE=true cargo run --quiet --bin generate

##@ Measurements

# Of what is committed, from an empty home folder. REVISIONS="HEAD~20 HEAD" compares.
first-run: ## Measure the first `make up` of a newcomer, step by step
	@python3 localstack/first-run.py $(REVISIONS)

# On a stack of its own: it writes patients and has every function do something.
bench: orchestrator ## Measure starts, latency, memory and size; ARGS="--starts 5" changes the defaults
	@STACK_DIR=$${STACK_DIR:-.local/bench} STACK_NAME=$${STACK_NAME:-bench} STACK_PORTS=$${STACK_PORTS:-auto} \
	  $(ORCHESTRATOR) run --fresh -- cargo run --bin benchmark -- $(ARGS)

# On a stack of its own: it kills and freezes one part of it after the other.
faults: orchestrator ## Break everything under load and check that nothing is lost; with ARGS="--changes 5000"
	@STACK_DIR=$${STACK_DIR:-.local/faults} STACK_NAME=$${STACK_NAME:-faults} STACK_PORTS=$${STACK_PORTS:-auto} \
	  $(ORCHESTRATOR) run --fresh -- cargo run --bin faults -- $(ARGS)

# In a database of its own, which is gone afterwards.
trail-at-scale: orchestrator ## Measure the audit trail with 5,000,000 records; ARGS="--records 1000000" changes that
	@SQLX_OFFLINE=true $(ORCHESTRATOR) exec cargo run --bin audit-trail-at-scale -- $(ARGS)

##@ What an operator does

# The answer is JSON on the standard output; what it means stands on the standard error.
# On AWS it is `aws lambda invoke`: see README.md.
verify-audit: orchestrator ## Verify that no record of the audit trail is missing or was changed
	@$(ORCHESTRATOR) verify-audit

rotate-key: orchestrator ## Sign access tokens with a new key; the old one retires in 21 minutes
	@$(ORCHESTRATOR) rotate-key

redrive: orchestrator ## Put the records of the dead-letter queue back on Kafka
	@$(ORCHESTRATOR) redrive
