# make run [DATA=...] [EPOCHS=...] [SEED=...]   all notebooks, in order, into runs/, with an HTML report
# make test                                     the whole suite, on the small digits, no network needed
# make test-mnist [DATA=...]                    the notebooks once more, on MNIST
# make refresh [DATA=...]                       store fresh outputs in notebooks/
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
export DATA EPOCHS SEED

.PHONY: run test test-mnist refresh setup clean

setup: $(VENV)/ready

# One stamp for the whole environment: it is newer than what it was made from, or it is made again.
$(VENV)/ready: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
	  { echo "Python 3.11, 3.12 or 3.13 is needed: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --requirement requirements.txt --editable .
	touch $@

run: setup
	@$(PY) run.py $${DATA:+--data "$$DATA"} $${EPOCHS:+--epochs "$$EPOCHS"} $${SEED:+--seed "$$SEED"}

# Models trained by the tests go to a folder of their own, empty at the start, so that the tests really train.
test: setup
	@$(PY) -m ruff check . && $(PY) -m ruff format --check .
	@rm -rf runs/test
	@COURSEWORK_DATA=digits COURSEWORK_RUNS="$$PWD/runs/test" $(PY) -m pytest --nbval tests notebooks

# MNIST models that are at hand in runs/ are used: strict nbval, then the checks that need MNIST.
test-mnist: setup
	@COURSEWORK_DATA="$${DATA:-mnist}" $(PY) -m pytest --nbval notebooks

refresh: setup
	@$(PY) run.py --refresh $${DATA:+--data "$$DATA"}

clean:
	rm -rf runs $(VENV)
