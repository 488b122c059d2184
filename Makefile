# make setup · make demo · make test · make test-colab-widgets · make lint · make bench      the environment is .venv
PYTHON ?= python3
# Where a machine has no GPU, PIP_ARGS="--extra-index-url https://download.pytorch.org/whl/cpu" saves gigabytes of CUDA.
PIP_ARGS ?=
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: setup demo test test-colab-widgets lint bench demo-weights clean
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

# The widgets with the versions that Colab has; everything else comes from .venv.
COLAB_WIDGETS := build/colab-widgets
test-colab-widgets: setup
	@echo "── widgets as in Colab"
	$(BIN)/python -m venv $(COLAB_WIDGETS)
	$(COLAB_WIDGETS)/bin/python -m pip install --quiet ipywidgets==7.7.1 anywidget==0.9.21 ipython==7.34.0 ipykernel==6.17.1 traitlets==5.7.1
	$(BIN)/python -c "import sysconfig; print(sysconfig.get_path('purelib'))" > $(COLAB_WIDGETS)/rest.pth
	mv $(COLAB_WIDGETS)/rest.pth $$($(COLAB_WIDGETS)/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")
	$(COLAB_WIDGETS)/bin/python -c "import ipywidgets; assert ipywidgets.__version__ == '7.7.1', ipywidgets.__version__"
	PYTHONPATH=. $(COLAB_WIDGETS)/bin/python -m pytest -q tests/test_picker.py tests/test_faces_in_runs.py

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
