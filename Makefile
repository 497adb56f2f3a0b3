PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
LONG := --timeout 7200
PYTHONS := 3.11 3.12 3.13
TEACHING := $(wildcard $(addprefix tests/test_, grading*.py handout.py collect.py marks.py lms.py year.py inside.py values.py))
QUICK := $(filter-out %_run.py %_setup.py %_resilience.py %_browser.py $(TEACHING), $(wildcard tests/test_*.py))
NEEDED := requirements.txt requirements-dev.txt requirements.lock pyproject.toml
export DATA EPOCHS SEED SUBMISSIONS SHEET COLUMN STUDENT
export COURSEWORK_SCHEDULER ?= $(SCHEDULER)

.PHONY: help run test test-pythons test-mnist browser-test refresh readme student collect grade marks forget test-grading
.PHONY: bench faults fuzz mutants setup lock pins clean

help: ## this list; needs nothing
	@echo 'make run and make test set up everything in $(VENV) by themselves.'
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1|\2/p' Makefile | awk -F '|' '{ printf "  %-18s %s\n", $$1, $$2 }'

run: setup ## all notebooks in order, into runs/, with an HTML report [DATA= EPOCHS= SEED= SCHEDULER=]
	@$(PY) run.py $${DATA:+--data "$$DATA"} $${EPOCHS:+--epochs "$$EPOCHS"} $${SEED:+--seed "$$SEED"}

# Models go to a folder of their own, empty at the start, so that the tests really train; its name has blanks. The notebooks come last,
# when the run of test_run.py has trained their models.
test: setup ## style, unit and end-to-end tests, and the notebooks' stored outputs, on the small digits
	@$(PY) -m ruff check . && $(PY) -m ruff format --check . && $(PY) -m codespell_lib
	@runs=$$(mktemp -d) && trap 'rm -rf "$$runs"' EXIT && trap 'exit 1' INT TERM && \
	  COURSEWORK_DATA=digits COURSEWORK_RUNS="$$runs/r u n s" $(PY) -m pytest -n 2 --nbval tests notebooks

# One environment for each Python, beside the usual one. Quick: no grading, no cluster, no kills, one notebook of three.
test-pythons: ## the quick tests on each Python that is installed [PYTHONS="3.12 3.13"]
	@for version in $(PYTHONS); do \
	  python$$version -c "import ensurepip" 2> /dev/null || { echo "Python $$version is not installed, or has no venv: not tested"; continue; }; \
	  python$$version .ci/venv.py .venv-$$version && \
	  COURSEWORK_DATA=digits .venv-$$version/bin/python -m pytest -n 2 $(QUICK) && \
	  COURSEWORK_DATA=digits .venv-$$version/bin/python -m pytest --nbval notebooks/01_gate_settings.ipynb || exit 1; \
	done

test-mnist: setup ## the notebooks' stored outputs on MNIST [DATA=path]; models at hand in runs/ are used
	@COURSEWORK_DATA="$${DATA:-mnist}" $(PY) -m pytest $(LONG) --nbval notebooks

browser-test: setup ## the notebooks in JupyterLab and the report, in an installed Chromium
	@$(PY) -m pytest -m browser tests

refresh: setup ## store fresh outputs in notebooks/, and in docs/ and README.md what they show of them [DATA=]
	@$(PY) -m tools.refresh $${DATA:+--data "$$DATA"}

readme: setup ## the results table of README.md from docs/results.csv
	@$(PY) -m tools.refresh --readme

# VARIANTS=0 says that there are none; without a word, the last grading's choice stands.
VARIED = $(if $(VARIANTS),$(if $(filter-out 0,$(VARIANTS)),--variants,--no-variants))
SWITCHES = $(VARIED) $(if $(filter-out 0,$(REGRADE)),--regrade) $(if $(filter-out 0,$(UNSAFE)),--unsafe)

student: setup ## the hand-out without solutions, in runs/student/ [EPOCHS= VARIANTS=1]
	@$(PY) -m teaching student $${EPOCHS:+--epochs "$$EPOCHS"} $(VARIED)

collect: setup ## whose is each file of SUBMISSIONS=folder, and what is wrong with it? Nothing is run
	@$(PY) -m teaching collect "$$SUBMISSIONS"

grade: setup ## marks for SUBMISSIONS=folder [DATA= EPOCHS= VARIANTS=1 REGRADE=1 UNSAFE=1 SCHEDULER=]
	@$(if $(SUBMISSIONS)$(filter-out 0,$(REGRADE)),,$(error say whose: make grade SUBMISSIONS=folder))$(PY) -m teaching grade $${DATA:+--data "$$DATA"} $${EPOCHS:+--epochs "$$EPOCHS"} $(SWITCHES) "$$SUBMISSIONS"

marks: setup ## marks and feedback again, after grading by hand; an LMS's table filled in [SHEET=file COLUMN= SCALE=1]
	@$(PY) -m teaching marks $${SHEET:+--sheet "$$SHEET"} $${COLUMN:+--column "$$COLUMN"} $(if $(filter-out 0,$(SCALE)),--scale)

forget: setup ## a student taken out of the marks, with all that is kept: STUDENT=name, number or key
	@$(PY) -m teaching forget "$$STUDENT"

test-grading: setup ## the tests of the grading, with all sample submissions
	@ALL_SAMPLES=1 COURSEWORK_DATA=digits $(PY) -m pytest $(LONG) $(TEACHING)

bench: setup ## how fast the training is, beside the alternatives
	@$(PY) benchmarks/bench.py

faults: setup ## long: many killed runs, bad networks and bad parameters
	@COURSEWORK_LONG=1 $(PY) -m pytest $(LONG) -s tests/test_resilience.py tests/test_run.py

fuzz: setup ## long: twenty times as many cases of random input
	@COURSEWORK_FUZZ=20 COURSEWORK_DATA=digits $(PY) -m pytest $(LONG) -n 2 -m hypothesis --hypothesis-show-statistics tests

mutants: setup ## long: the equations, analyses and checks broken in each line, and what no test noticed
	@COURSEWORK_DATA=digits $(PY) -m mutmut run && $(PY) -m mutmut results

setup: $(VENV)/ready ## the environment alone [PYTHON=python3.12]

$(VENV)/ready: $(NEEDED)
	@$(PYTHON) .ci/venv.py $(VENV)

lock: setup ## requirements.lock anew, after a change of the requirements
	@$(PY) .ci/pins.py

pins: setup ## the newest versions that go together, in the requirements and requirements.lock
	@$(PY) .ci/pins.py --raise

clean: ## remove runs/ and the environments
	rm -rf runs mutants $(VENV) $(VENV).lock $(PYTHONS:%=.venv-%) $(PYTHONS:%=.venv-%.lock)
