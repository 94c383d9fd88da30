# What people, hooks and CI call. `make` alone lists it.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
PORT ?= 8501
# glibc gives large blocks back to the system after every forward pass and half the time goes into page faults: keep them.
export MALLOC_MMAP_MAX_ := 0
export MALLOC_TRIM_THRESHOLD_ := 100000000000

.PHONY: help run demo test gpu fuzz format screenshot clean

help:  ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 14

$(PY):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.12 run"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: requirements.txt | $(PY)
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

$(VENV)/.dev: requirements-dev.txt $(VENV)/.run
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

run: $(VENV)/.run  ## install, make the demo where the store is empty, start the app on http://127.0.0.1:8501
	$(PY) -m db demo --if-empty
	$(VENV)/bin/streamlit run streamlit_app.py --server.port $(PORT)

demo: $(VENV)/.run  ## make the demo data where the store is empty
	$(PY) -m db demo --if-empty

test: $(VENV)/.dev  ## install, check the code, run all tests
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	OMP_NUM_THREADS=1 $(PY) -m pytest -n auto --dist loadfile

gpu: $(VENV)/.dev  ## the tests that need a CUDA device
	$(PY) -m pytest -m gpu

fuzz: $(VENV)/.dev  ## read 6,000 damaged files of every kind (make test reads 600)
	FUZZ_FILES=6000 OMP_NUM_THREADS=1 $(PY) -m pytest -n auto tests/core/reading/test_fuzz.py

format: $(VENV)/.dev  ## put the code into its format
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

screenshot: $(VENV)/.dev  ## make docs/review.png again from the running program (needs Chromium)
	$(PY) -m docs.screenshot

clean:  ## remove the installation and caches; the store in var/ stays
	rm -rf $(VENV) .pytest_cache .ruff_cache
