# make lab and make test each work as the first command in a new clone: python3 (3.11 or newer), make and git are enough.
PYTHON ?= python3
BIN := .venv/bin
PORT ?= 8888
# a browser's command, or "none" to only print the address
BROWSER ?=
NOTEBOOK ?= 00_start_here.ipynb
# the learner's own copy, and the folder that make lab opens
WORKSPACE ?= $(CURDIR)/workspace
FOLDER ?= $(CURDIR)

.PHONY: help setup lab test check export notebooks train bench badges site live runtime exercises workspace grade constraints clean
help:
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

setup: .venv/installed  ## create .venv and install everything
.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "this needs Python 3.11 or newer, and $(PYTHON) is " + sys.version.split()[0] + ": try make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv || { echo "python3 -m venv failed: on Debian and Ubuntu, install the package python3-venv"; rm -rf .venv; exit 1; }
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip install --python $(BIN)/python -c constraints.txt -e '.[dev]'
	@$(BIN)/jupyter labextension disable --level=sys_prefix @jupyterlab/apputils-extension:announcements 2>/dev/null  # no question about news
	@touch $@
.venv/compiled: .venv/installed  # Python would do this one file at a time, at the first import
	@$(BIN)/python -m compileall -qq -j 0 .venv/lib || true
	@touch $@

lab: setup  ## open JupyterLab on the notebooks (PORT=…, BROWSER=none to open no window)
	@nice $(MAKE) -s .venv/compiled >/dev/null 2>&1 &  # while you read
	@$(BIN)/jupyter trust '$(FOLDER)'/notebooks/*.ipynb >/dev/null
	$(BIN)/jupyter lab --port=$(PORT) $(if $(filter 0,$(shell id -u)),--allow-root) \
		$(if $(filter none,$(BROWSER)),--no-browser,$(if $(BROWSER),--browser='$(BROWSER)')) \
		--ServerApp.root_dir='$(FOLDER)' --LabApp.default_url=/lab/tree/notebooks/$(NOTEBOOK)

test: .venv/compiled runtime .venv-colab/installed  ## run the whole test suite, offline, a process on each core (ARGS="-k loss")
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal --durations=20 $(ARGS)

# the versions of Colab for tests/browser/test_colab.py; what they lack, torch above all, comes from .venv
.venv-colab/installed: tests/browser/colab/requirements.txt .venv/installed
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venv-colab
	@$(BIN)/uv pip install --quiet --no-deps --python .venv-colab/bin/python -r tests/browser/colab/requirements.txt
	@$(BIN)/python -c 'import site; print(site.getsitepackages()[0])' > "$$(.venv-colab/bin/python -c 'import site; print(site.getsitepackages()[0])')/torch.pth"
	@touch $@

check: setup  ## what one runs at every save: the linter, the export, the library's tests
	$(BIN)/ruff check --quiet
	$(BIN)/python -m course.export --check
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n auto --dist worksteal tests/library $(ARGS)

export: setup  ## notebooks -> ddpm_lib
	$(BIN)/python -m course.export

notebooks: setup  ## execute every notebook and store clean outputs
	$(BIN)/python -m course.execute

train: setup  ## train on the bundled data; goes on where it stopped (ARGS="--minutes 60")
	$(BIN)/python -m ddpm_lib train $(ARGS)

bench: setup  ## measure the speed beside other libraries, about ten minutes (ARGS="--sections training")
	@$(BIN)/uv pip install --quiet --python $(BIN)/python -c constraints.txt -e '.[dev,bench]' || echo "the other libraries could not be installed: measuring without them"
	$(BIN)/python -m benchmarks.speed.race $(ARGS)
	$(BIN)/python -m benchmarks.speed.gpu

# npm and node, for the page that draws, where the machine has none
.venv/node: .venv/installed
	@command -v npm >/dev/null || $(BIN)/uv pip install --quiet --python $(BIN)/python -c constraints.txt -e '.[node]' && touch $@ || echo 'npm could not be installed'

# what the tests of that page take from npm; without a network they are skipped
runtime: .venv/node
	@$(BIN)/python -m docs.runtime

site: .venv/node  ## build the rendered pages into build/site, for any file server
	$(BIN)/python -m docs.build
	@echo 'build/site is ready: $(BIN)/python -m http.server -d build/site'

live: .venv/node  ## a page in which your own checkpoint draws (CHECKPOINT=runs/fashion-mnist/model.safetensors)
	@$(BIN)/python -m docs.live $(if $(CHECKPOINT),'$(CHECKPOINT)') $(if $(filter none,$(BROWSER)),--no-browser) $(ARGS)

badges: setup  ## write the repository's address, the README's table and CONTRIBUTING's tree anew
	$(BIN)/python -m course.tables

exercises: setup  ## write workspace/, to rebuild the library yourself; keeps what is there
	@$(BIN)/python -m course.workspace '$(WORKSPACE)'
	@echo 'Next: make workspace opens its first notebook in JupyterLab, and make grade says how far you are.'

workspace: exercises  ## open JupyterLab on your workspace (NOTEBOOK=02_noise_schedule.ipynb)
	@$(MAKE) -s lab FOLDER='$(WORKSPACE)' NOTEBOOK=$(if $(filter file,$(origin NOTEBOOK)),01_forward_diffusion.ipynb,$(NOTEBOOK))

grade: setup  ## say how far your workspace is, and which mistakes it holds (ARGS="-k posterior")
	@test -d '$(WORKSPACE)' || { echo 'There is no workspace yet: make exercises writes it.'; exit 1; }
	@cd '$(WORKSPACE)' && '$(CURDIR)/$(BIN)/python' -m pytest $(ARGS)

constraints: setup  ## resolve the pins in constraints.txt anew
	$(BIN)/uv pip compile pyproject.toml --extra dev --extra bench --extra node --universal --upgrade --no-header --no-annotate --quiet -o constraints.txt

clean:  ## remove what can be made again
	rm -rf .venv .venv-colab build .pytest_cache .ruff_cache .hypothesis data/FashionMNIST/raw/*ubyte
