# make run [DATA=...] [EPOCHS=...] [SEED=...]   all notebooks, in order, into runs/, with an HTML report
# make test                                     the whole suite, on the small digits, no network needed
# make test-pythons [PYTHONS="3.12 3.13"]       the quick tests, on each of these Pythons that is installed
# make test-mnist [DATA=...]                    the notebooks once more, on MNIST
# make browser-test                             the notebooks in JupyterLab and the report, in a real Chromium
# make refresh [DATA=...]                       store fresh outputs in notebooks/, and what docs/ and README.md show
# make readme                                   write the results table of README.md from docs/results.csv
# make student [EPOCHS=...] [VARIANTS=1]        the hand-out without solutions: a folder and a zip in runs/student/
# make grade SUBMISSIONS=... [VARIANTS=1] [DATA=...]   grade a folder, or an LMS's export; marks in runs/grading/
# make marks [SHEET=...]                        marks and feedback again, after grading by hand; an LMS's sheet filled in
# make test-grading                             the tests of the grading, with all sample submissions
# make faults | fuzz | mutants                  the long tests: killed runs, bad input, broken code
# make bench [DATA=...]                         how fast, beside the alternatives: benchmarks/
# SCHEDULER=tcp://...                           with any of them: train on the workers of that Dask scheduler
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
LONG := --timeout 7200
PYTHONS := 3.11 3.12 3.13
QUICK := $(patsubst %,tests/test_%.py,gates data training checks analysis fuzz machines notebooks prose)
export DATA EPOCHS SEED SUBMISSIONS VARIANTS UNSAFE SHEET COLUMN
export COURSEWORK_SCHEDULER ?= $(SCHEDULER)

.PHONY: run test test-pythons test-mnist browser-test refresh readme student grade marks test-grading bench faults fuzz mutants setup clean

setup: $(VENV)/ready

$(VENV)/ready: requirements.txt pyproject.toml
	@$(PYTHON) .ci/venv.py $(VENV)

run: setup
	@$(PY) run.py $${DATA:+--data "$$DATA"} $${EPOCHS:+--epochs "$$EPOCHS"} $${SEED:+--seed "$$SEED"}

# Models trained by the tests go to a folder of their own, empty at the start, so that the tests really train.
test: setup
	@$(PY) -m ruff check . && $(PY) -m ruff format --check .
	@runs=$$(mktemp -d) && trap 'rm -rf "$$runs"' EXIT && trap 'exit 1' INT TERM && \
	  export COURSEWORK_DATA=digits COURSEWORK_RUNS="$$runs" && \
	  $(PY) -m pytest -n 2 tests && $(PY) -m pytest --nbval notebooks

# One environment for each Python, beside the usual one. Quick: no grading, no cluster, no kills, one notebook of three.
test-pythons:
	@for version in $(PYTHONS); do \
	  python$$version -c "import ensurepip" 2> /dev/null || { echo "Python $$version is not installed, or has no venv: not tested"; continue; }; \
	  python$$version .ci/venv.py .venv-$$version && \
	  COURSEWORK_DATA=digits .venv-$$version/bin/python -m pytest -n 2 $(QUICK) && \
	  COURSEWORK_DATA=digits .venv-$$version/bin/python -m pytest --nbval notebooks/01_gate_settings.ipynb || exit 1; \
	done

# MNIST models that are at hand in runs/ are used: strict nbval, then the checks that need MNIST.
test-mnist: setup
	@COURSEWORK_DATA="$${DATA:-mnist}" $(PY) -m pytest $(LONG) --nbval notebooks

browser-test: setup
	@$(PY) -m pip install --quiet --requirement requirements-browser.txt
	@$(PY) -m pytest -m browser tests/test_browser.py

refresh: setup
	@$(PY) run.py --refresh $${DATA:+--data "$$DATA"}

# What takes too long for `make test`: 30 killed runs and more, 12,000 fuzzed cases, every mutant of helpers.py.
faults: setup
	@COURSEWORK_LONG=1 $(PY) -m pytest $(LONG) -s tests/test_faults.py

fuzz: setup
	@rm -f runs/fuzz.txt; mkdir -p runs
	@COURSEWORK_FUZZ=12000 COURSEWORK_FUZZ_COUNTS="$$PWD/runs/fuzz.txt" $(PY) -m pytest $(LONG) tests/test_fuzz.py; \
	  code=$$?; cat runs/fuzz.txt; exit $$code

mutants: setup
	@COURSEWORK_DATA=digits $(PY) tests/mutants.py

bench: setup
	@$(PY) benchmarks/bench.py $${DATA:+--data "$$DATA"}

readme: setup
	@$(PY) run.py --readme

student: setup
	@$(PY) -m teaching student $${EPOCHS:+--epochs "$$EPOCHS"} $${VARIANTS:+--variants}

grade: setup
	@$(PY) -m teaching grade $${DATA:+--data "$$DATA"} $${EPOCHS:+--epochs "$$EPOCHS"} $${VARIANTS:+--variants} \
	  $${UNSAFE:+--unsafe} "$$SUBMISSIONS"

marks: setup
	@$(PY) -m teaching marks $${SHEET:+--sheet "$$SHEET"} $${COLUMN:+--column "$$COLUMN"}

test-grading: setup
	@ALL_SAMPLES=1 COURSEWORK_DATA=digits $(PY) -m pytest $(LONG) tests/test_grading.py tests/test_handout.py

clean:
	rm -rf runs $(VENV) $(PYTHONS:%=.venv-%)
