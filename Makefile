# make setup · make demo · make test · make lint · make bench      the environment is .venv
PYTHON ?= python3
# Where a machine has no GPU, PIP_ARGS="--extra-index-url https://download.pytorch.org/whl/cpu" saves gigabytes of CUDA.
PIP_ARGS ?=
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: setup demo test lint bench demo-weights clean
setup: $(STAMP)

$(STAMP): pyproject.toml requirements.txt constraints/cpu.txt
	@echo "── installing into .venv"
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints/cpu.txt $(PIP_ARGS) torch torchvision
	$(BIN)/python -m pip install --quiet --constraint constraints/cpu.txt $(PIP_ARGS) --editable ".[fetch,notebook,dev]"
	@touch $@

demo: setup
	@echo "── dubbing the example (offline)"
	$(BIN)/wav2lip-kit demo --output demo

test: setup
	@echo "── tests"
	$(BIN)/python -m pytest -n 2 --dist worksteal

lint: setup
	@echo "── lint"
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

bench: setup
	$(BIN)/python scripts/bench.py $(CLIP)

# Trains weights/demo.safetensors anew; see training/README.md.
demo-weights: setup
	$(BIN)/python -m pip install --quiet --constraint constraints/cpu.txt $(PIP_ARGS) --editable ".[training]"
	$(BIN)/python training/train_demo.py --folder build/demo_weights
	$(BIN)/python training/evaluate.py

clean:
	rm -rf .venv demo build dist .pytest_cache .ruff_cache .hypothesis
