# `make` lists what there is. Needs Python 3.11 or newer with venv, git and make; everything else goes into .venv.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help venv demo demo-in-slicer libraries test test-long lint bench docs clean

VENV := .venv
PY := $(VENV)/bin/python
PACKAGE := XRayRegistration/pyproject.toml
PIP := $(PY) -m pip --disable-pip-version-check --no-input

# One process on each core, one thread in each: torch and numba would otherwise fight over the cores.
PYTEST_WORKERS ?= 2
# Compiled sources are kept, whatever the environment says: dozens of tests start a process that would compile them all
# again. Workers take long runs of tests in their order, so that what a file's tests share is made once.
PYTEST := OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE PYTHONDONTWRITEBYTECODE= \
  $(PY) -m pytest -q -n $(PYTEST_WORKERS) --dist worksteal

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 20

venv: $(VENV)/installed-test $(VENV)/installed-train $(VENV)/installed-evaluate ## create .venv with everything that `demo` and `test` need

demo: libraries $(VENV)/installed-run ## register a phantom, then show it in Slicer's scene: pictures in demo_output
	PYTHONPATH=XRayRegistration $(PY) -m xrayreg demo --out demo_output
	@! test -e $(VENV)/can-draw || $(MAKE) --no-print-directory demo-in-slicer

demo-in-slicer: $(VENV)/installed-slicer
	PYTHONPATH=XRayRegistration OMP_WAIT_POLICY=PASSIVE $(PY) Testing/Slicer/demo.py demo_output

# Asked before 274 MB are downloaded that would be of no use; installed where this may be done.
libraries: | $(VENV)/bin/pip
	@rm -f $(VENV)/can-draw
	@if $(PY) Testing/Slicer/slicer_harness/libraries.py --install; then touch $(VENV)/can-draw; \
	else echo "The demo goes on without pictures from Slicer's scene."; fi

test: lint $(VENV)/installed-slicer $(VENV)/installed-triton ## check the code and run all tests but the longest
	$(PYTEST) -m "not long"

test-long: $(VENV)/installed-slicer $(VENV)/installed-triton ## run the longest tests, which `test` leaves out
	$(PYTEST) -m long

lint: $(VENV)/installed-test $(VENV)/installed-train $(VENV)/installed-evaluate ## style, formatting and types
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

bench: $(VENV)/installed-bench ## measure speed and accuracy beside other systems
	PYTHONPATH=XRayRegistration $(PY) Testing/Benchmarks/run.py

docs: $(VENV)/installed-docs $(VENV)/installed-train $(VENV)/installed-evaluate $(VENV)/installed-triton ## build the API reference from docstrings: build/docs/index.html
	$(PY) Testing/Tools/build_docs.py build/docs

clean: ## remove .venv and everything that was made
	rm -rf $(VENV) .cache .hypothesis .mypy_cache .pytest_cache .ruff_cache build demo_output bench_output \
	  XRayRegistration/build XRayRegistration/xrayreg.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Names and lower bounds stand in the package's metadata, exact versions in constraints.txt.
define LIST_PACKAGES
import sys, tomllib
with open("$(PACKAGE)", "rb") as file:
    project = tomllib.load(file)["project"]
names = {"run": project["dependencies"], **project["optional-dependencies"]}
print(*names[sys.argv[1]], sep="\n")
endef
export LIST_PACKAGES

$(addprefix $(VENV)/installed-,test train evaluate triton bench slicer docs): $(VENV)/installed-run

$(VENV)/installed-%: Makefile constraints.txt $(PACKAGE) | $(VENV)/bin/pip
	$(PY) -c "$$LIST_PACKAGES" $* > $(VENV)/requirements-$*.txt
	$(PIP) install --constraint constraints.txt --requirement $(VENV)/requirements-$*.txt
	touch $@

# A python counts when it is new enough and can make a virtual environment; `make PYTHON=...` overrides the search.
CANDIDATES := $(if $(PYTHON),"$(PYTHON)",python3.11 python3 python3.12 python3.13)
$(VENV)/bin/pip:
	@newest=; recent=; \
	for python in $(CANDIDATES); do \
	  version=$$("$$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue; \
	  newest=$$version; \
	  "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || continue; \
	  recent=$$version; \
	  "$$python" -c 'import ensurepip, venv' 2>/dev/null || continue; \
	  echo "creating $(VENV) with $$python ($$version)"; \
	  exec "$$python" -m venv $(VENV); \
	done; \
	if [ -n "$$recent" ]; then \
	  echo "Python $$recent is here but cannot make virtual environments: install the package python$$recent-venv (Debian, Ubuntu: apt install python$$recent-venv), then run make again." >&2; \
	else \
	  echo "Python 3.11 or newer is needed, found $${newest:-none}: install python3.11 and python3.11-venv, or name yours with 'make PYTHON=/path/to/python3'." >&2; \
	fi; \
	exit 1
