PYTHON :=
VENV := .venv
PY := $(VENV)/bin/python
LONG := --timeout 7200
PYTHONS := 3.11 3.12 3.13
TEACHING := $(wildcard $(addprefix tests/test_, grading*.py handout.py collect.py marks.py texts.py oral.py lms.py year.py inside.py values.py))
QUICK := $(filter-out %_run.py %_setup.py %_resilience.py %_browser.py $(TEACHING), $(wildcard tests/test_*.py))
export DATA EPOCHS SEED SUBMISSIONS SHEET COLUMN STUDENT ROWS TEXTS
export COURSEWORK_SCHEDULER ?= $(SCHEDULER)
unexport PYTHONSAFEPATH PYTHONHOME

# What the shell has under these names is somebody else's: they count only where they are given to make.
$(foreach name,DATA EPOCHS SEED SCHEDULER SUBMISSIONS SHEET COLUMN STUDENT ROWS VARIANTS UNSAFE REGRADE SCALE TEXTS ANONYMOUS,\
  $(if $(filter environment,$(origin $(name))),$(eval $(name) :=)))

.PHONY: help help-all run test student grade setup clean
.PHONY: test-long test-mnist test-pythons test-grading browser-test fuzz mutants bench refresh readme collect marks texts oral forget pins clean-runs site serve atlas

help: # the commands of a day; needs nothing
	@echo 'make run and make test set up everything in $(VENV) by themselves.'
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1|\2/p' Makefile | sed 6q | awk -F '|' '{ printf "  %-18s %s\n", $$1, $$2 }'
	@echo 'make help-all lists the others.'

run: setup ## all notebooks in order, into runs/, with an HTML report [DATA= EPOCHS= SEED= SCHEDULER=]
	@$(PY) run.py $${DATA:+--data "$$DATA"} $${EPOCHS:+--epochs "$$EPOCHS"} $${SEED:+--seed "$$SEED"}

test: setup ## style, types, unit and end-to-end tests, and the notebooks' stored outputs, on the small digits
	@$(PY) -m ruff check . && $(PY) -m ruff format --check . && $(PY) -m codespell_lib
	@$(PY) -m pytest -n auto

# VARIANTS=0 says that there are none; without a word, the last grading's choice stands.
VARIED = $(if $(VARIANTS),$(if $(filter-out 0,$(VARIANTS)),--variants,--no-variants))
SWITCHES = $(VARIED) $(if $(filter-out 0,$(REGRADE)),--regrade) $(if $(filter-out 0,$(UNSAFE)),--unsafe)

student: setup ## the hand-out without solutions, in runs/student/ [EPOCHS= VARIANTS=1]
	@$(PY) -m teaching student $${EPOCHS:+--epochs "$$EPOCHS"} $(VARIED)

grade: setup ## marks for SUBMISSIONS=folder [DATA= EPOCHS= VARIANTS=1 REGRADE=1 UNSAFE=1 SCHEDULER=]
	@$(if $(SUBMISSIONS)$(filter-out 0,$(REGRADE)),,$(error say whose: make grade SUBMISSIONS=folder))$(PY) -m teaching grade $${DATA:+--data "$$DATA"} $${EPOCHS:+--epochs "$$EPOCHS"} $(SWITCHES) "$$SUBMISSIONS"

setup: ## the environment alone [PYTHON=python3.12]
	@sh tools/setup.sh $(VENV) $(PYTHON)

clean: ## remove the environments; runs/ stays
	rm -rf mutants $(VENV) $(VENV).lock $(PYTHONS:%=.venv-%) $(PYTHONS:%=.venv-%.lock)

help-all: ## all commands
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1|\2/p' Makefile | awk -F '|' '{ printf "  %-18s %s\n", $$1, $$2 }'

collect: setup ## whose is each file of SUBMISSIONS=folder, and what is wrong with it? Nothing is run
	@$(PY) -m teaching collect "$$SUBMISSIONS"

texts: setup ## a spreadsheet and a page for each text question, which make marks reads back [ANONYMOUS=1]
	@$(PY) -m teaching texts $(if $(filter-out 0,$(ANONYMOUS)),--anonymous)

marks: setup ## marks and feedback again, after grading by hand; an LMS's table filled in [SHEET=file COLUMN= SCALE=1 TEXTS=]
	@$(PY) -m teaching marks $${SHEET:+--sheet "$$SHEET"} $${COLUMN:+--column "$$COLUMN"} $(if $(filter-out 0,$(SCALE)),--scale) $${TEXTS:+--texts "$$TEXTS"}

oral: setup ## a page a student with five questions about their own networks and answers [UNSAFE=1]
	@$(PY) -m teaching oral $(if $(filter-out 0,$(UNSAFE)),--unsafe)

forget: setup ## a student taken out of the marks, with all that is kept: STUDENT=name, number or key
	@$(PY) -m teaching forget "$$STUDENT"

test-long: setup ## what guards odd machines, clusters, kills and networks that hang
	@$(PY) -m pytest $(LONG) -n auto -m long

test-mnist: setup ## nbval: the notebooks' stored outputs, cell by cell, on MNIST [DATA=path]; models in runs/ are used
	@COURSEWORK_DATA="$${DATA:-mnist}" $(PY) -m pytest $(LONG) --nbval notebooks

# One environment for each Python, beside the usual one. Quick: no grading, no cluster, no kills, one notebook of four.
test-pythons: ## the quick tests on each Python that is installed [PYTHONS="3.12 3.13"]
	@for version in $(PYTHONS); do \
	  python$$version -c "import ensurepip" 2> /dev/null || { echo "Python $$version is not installed, or has no venv: not tested"; continue; }; \
	  sh tools/setup.sh .venv-$$version python$$version && \
	  .venv-$$version/bin/python -m pytest -n auto $(QUICK) && \
	  COURSEWORK_DATA=digits .venv-$$version/bin/python -m pytest --nbval notebooks/01_gate_settings.ipynb || exit 1; \
	done

test-grading: setup ## the tests of the grading, with all sample submissions
	@ALL_SAMPLES=1 $(PY) -m pytest $(LONG) $(TEACHING)

browser-test: setup ## the notebooks in JupyterLab and the report, in an installed Chromium
	@$(PY) -m pytest -m browser tests

fuzz: setup ## long: twenty times as many cases of random input
	@COURSEWORK_FUZZ=20 $(PY) -m pytest $(LONG) -n auto -m hypothesis --hypothesis-show-statistics tests

mutants: setup ## long: the equations, analyses and checks broken in each line, and what no test noticed
	@$(PY) -m mutmut run && $(PY) -m mutmut results

bench: setup ## how fast the training is, beside the alternatives
	@$(PY) benchmarks/bench.py

refresh: setup ## store fresh outputs in notebooks/, and in docs/ and README.md what they show of them [DATA=]
	@$(PY) -m tools.refresh $${DATA:+--data "$$DATA"}

atlas: setup ## long: the eight networks from 32 seeds, into coursework/atlas.csv; or a few rows again, compared [ROWS= SCHEDULER=]
	@$(PY) -m tools.atlas $${ROWS:+--rows "$$ROWS"}

readme: setup ## the results table of README.md from docs/results.csv
	@$(PY) -m tools.refresh --readme

pins: setup ## all packages of the dependencies in pyproject.toml pinned, with RAISE=1 to the newest that go together
	@$(PY) -m tools.pins $(if $(filter-out 0,$(RAISE)),--raise)

clean-runs: ## remove runs/: trained models, grades, reports
	rm -rf runs

site: setup ## runs/site/: the stage, Q1 checked in the page, the notebooks; static files for any web server [URL=]
	@$(PY) -m tools.site $(if $(filter command%,$(origin URL)),--url "$(URL)")

serve: setup ## show the site at an address of this computer [PORT=]
	@$(PY) -m tools.site --serve $(if $(filter command%,$(origin PORT)),--port "$(PORT)")
