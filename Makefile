# Two commands do all the set-up on a machine with Python 3.11 or newer: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
CORE := not servers and not root and not slow
ALONE := root or alone
CODE := bytetracker fabric producers streams schemas sinks console alerts benchmarks docs tests

.PHONY: demo lab test test-core lint check format bench servers site clean
.DELETE_ON_ERROR:

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "ByteTracker needs Python 3.11 or newer; set PYTHON=..., $(PYTHON) is" "$$($(PYTHON) --version)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

# The main job: ARGS="--seconds 60 --fault loss:leaf-1-1~spine-1:rate=0.3,after=20 --report r.json"
demo: $(READY)
	@$(BIN)/bytetracker demo $(ARGS)

# The same on real kernels in network namespaces; needs root.
lab: $(READY)
	@$(BIN)/bytetracker lab $(ARGS)

# Everything: the pure core; then parts on servers (the embedded stack, Apache Kafka, ClickHouse's native
# port), which mostly wait for each other; then, one at a time, the whole system, also on real kernels.
test: $(READY) servers test-core
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not ($(CORE)) and not ($(ALONE))" $(ARGS)
	$(BIN)/python -m pytest -m "$(ALONE)" $(ARGS)

# The pure core: no servers, no root.
test-core: $(READY)
	$(BIN)/python -m pytest -q -n 2 -m "$(CORE)" $(ARGS)

# Format, lint, types and who may import whom.
lint: $(READY)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)
	$(BIN)/mypy
	$(BIN)/lint-imports

# Before each commit.
check: lint test-core

format: $(READY)
	$(BIN)/ruff format $(CODE)
	$(BIN)/ruff check --fix $(CODE)

bench: $(READY)
	$(BIN)/python -m benchmarks.run $(ARGS)

# The documentation as a site, in var/site; a link that leads nowhere is an error.
site: $(READY)
	$(BIN)/python -m mkdocs build --quiet --strict
	@echo "open var/site/index.html"

# What the tests run on besides Python: jars, the ClickHouse library, tshark, nftables.
servers:
	@sh deploy/test-servers.sh

clean:
	rm -rf $(VENV) .cache var .pytest_cache .mypy_cache .ruff_cache .hypothesis
