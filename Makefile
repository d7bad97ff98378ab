# Everything that CI runs, and what it does not: `make test` is the whole of the tests.

PYTHON ?= python3
VENV := target/venv
IN_VENV := $(VENV)/bin/python
FUZZ_SECONDS ?= 60
FUZZ_LIMITS := -rss_limit_mb=1024 -timeout=10 -max_len=65536

.PHONY: test cargo-test python-test venv fmt clippy corpus digits picture quotes fuzz peers peers-wts peers-moves peers-ls peers-simplify

test: cargo-test python-test
	@echo "skipped: fuzzing (make fuzz), the comparison with peers on 4 GB files (make peers peers-moves peers-ls peers-simplify)"

cargo-test:
	cargo test --workspace --locked

# Without Python the Rust tests still say something; CI must not pass without the rest.
python-test:
	cargo build --locked -p weigh
	@if $(PYTHON) -m venv --help >/dev/null 2>&1; then $(MAKE) --no-print-directory python-cases; \
	elif [ -n "$$CI" ]; then echo "no $(PYTHON) with venv" >&2; exit 1; \
	else echo "skipped: tests/python (no $(PYTHON) with venv)"; fi

.PHONY: python-cases
python-cases: venv
	$(IN_VENV) tests/python/cases.py --weigh target/debug/weigh
	$(IN_VENV) tests/python/fresh.py --weigh target/debug/weigh
	$(IN_VENV) tests/python/hostile.py --weigh target/debug/weigh
	$(IN_VENV) tests/python/moves.py --weigh target/debug/weigh
	$(IN_VENV) tests/python/onnx_round.py --weigh target/debug/weigh
	$(IN_VENV) tests/python/writers.py --weigh target/debug/weigh
	$(IN_VENV) tests/python/into.py --weigh target/debug/weigh
	$(IN_VENV) tests/python/kills.py --weigh target/debug/weigh
	$(IN_VENV) tests/python/full.py --weigh target/debug/weigh
	$(IN_VENV) tests/python/loaders.py --weigh target/debug/weigh
	$(IN_VENV) tests/python/verify.py --weigh target/debug/weigh
	cargo build --locked -p weighbridge-graph --examples
	$(IN_VENV) tests/python/infer.py --infer target/debug/examples/infer
	$(IN_VENV) -W ignore tests/python/simplify_nodes.py --simplify target/debug/examples/simplify
	$(IN_VENV) -W ignore tests/python/simplify.py --weigh target/debug/weigh
	$(IN_VENV) tests/python/hostile_graphs.py --weigh target/debug/weigh
	$(IN_VENV) tests/python/fold.py --weigh target/debug/weigh
	$(IN_VENV) tests/python/reparameterize.py --weigh target/debug/weigh
	$(IN_VENV) tests/python/caffe_reference.py --weigh target/debug/weigh
	$(IN_VENV) -W ignore tests/python/emit.py --weigh target/debug/weigh
	$(IN_VENV) tests/python/caffe_peers.py --weigh target/debug/weigh
	$(IN_VENV) tests/python/caffe_verify.py --weigh target/debug/weigh
	$(IN_VENV) tests/python/caffe_onnx.py --weigh target/debug/weigh
	$(IN_VENV) tests/python/caffe_hostile.py --weigh target/debug/weigh
	$(IN_VENV) tests/python/caffe_layers.py --weigh target/debug/weigh
	$(IN_VENV) tests/python/digits_caffe.py --weigh target/debug/weigh
	$(IN_VENV) tests/python/diff.py --weigh target/debug/weigh
	$(IN_VENV) tests/python/check.py --weigh target/debug/weigh
	$(IN_VENV) -W ignore tests/python/mixed.py --weigh target/debug/weigh

venv: $(VENV)/requirements.txt

# The copy is made last: its date says that the installation went through.
$(VENV)/requirements.txt: tests/requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet -r $<
	cp $< $@

fmt:
	cargo fmt --all

clippy:
	cargo clippy --workspace --all-targets --locked -- -D warnings

corpus: venv
	$(IN_VENV) -W ignore tests/generate/corpus.py

digits: venv
	$(IN_VENV) tests/generate/digits.py

# The README's picture, from what weigh prints.
picture:
	cargo build --release --locked -p weigh
	$(PYTHON) tests/generate/report_svg.py

# The outputs that README and docs quote.
quotes:
	cargo build --release --locked -p weigh
	$(PYTHON) tests/generate/quotes.py

fuzz:
	@if ! cargo +nightly fuzz --version >/dev/null 2>&1; then \
		echo "skipped: needs the nightly toolchain and cargo-fuzz"; \
	else $(PYTHON) fuzz/seeds.py; for target in $$(cargo +nightly fuzz list); do \
		cargo +nightly fuzz run $$target -- -max_total_time=$(FUZZ_SECONDS) $(FUZZ_LIMITS) || exit 1; done; fi

peers: venv
	cargo build --release --locked -p weigh
	$(IN_VENV) benches/peers/peers.py

peers-wts: venv
	cargo build --release --locked -p weigh
	$(IN_VENV) benches/peers/wts.py

peers-moves: venv
	cargo build --release --locked -p weigh
	$(IN_VENV) benches/peers/moves.py

peers-ls: venv
	cargo build --release --locked -p weigh
	$(IN_VENV) benches/peers/ls.py

peers-simplify: venv
	cargo build --release --locked -p weigh
	$(IN_VENV) -W ignore benches/peers/simplify.py
