#!/bin/sh
# The environment of the Makefile: sh tools/setup.sh FOLDER [PYTHON]
# With uv where that can be had, else with pip. The file `ready` in it holds where and from what it was made; a clone
# that was moved or copied, and other pins, have it made anew, whatever the clocks say.
set -u
venv=$1 wish=${2:-}
python=${wish:-python3}
unset PIP_TARGET PIP_PREFIX PIP_ROOT PIP_USER PYTHONHOME PYTHONPATH PYTHONSAFEPATH
cd "$(dirname "$0")/.." || exit 1

say() { echo "$*" >&2; }

facts() {
    pwd -P
    cat pyproject.toml requirements-dev.txt
}

version() { "$1" -c 'import sys; print(*sys.version_info[:2])' 2> /dev/null; }

is_ready() {
    facts | cmp -s - "$venv/ready" || return 1
    # `uv sync --no-dev` by hand takes packages away again.
    [ -x "$venv/bin/python" ] && [ -x "$venv/bin/pytest" ] && [ -x "$venv/bin/papermill" ] || return 1
    [ -z "$wish" ] || [ "$(version "$wish")" = "$(version "$venv/bin/python")" ]
}

# Addresses that only pip was told are no use to uv.
pip_alone() { "$python" -m pip config list 2> /dev/null | grep -qE '\.(index-url|no-index)='; }

with_uv() { "$1" pip install --quiet --compile-bytecode --python "$venv" -r requirements-dev.txt -e .; }

uv_from_path() {
    command -v uv > /dev/null && ! pip_alone || return 1
    uv venv --quiet --clear ${wish:+--python "$wish"} "$venv" && with_uv uv
}

python_is_right() {
    case $(version "$python") in "3 11" | "3 12" | "3 13") return 0 ;; esac
    say "Python 3.11, 3.12 or 3.13 is needed: make PYTHON=python3.12 ..."
    return 1
}

uv_from_pip() {
    ! pip_alone && "$venv/bin/python" -m pip install --quiet --only-binary uv "$(grep '^uv==' requirements-dev.txt)" &&
        with_uv "$venv/bin/uv"
}

pip() {
    echo "Without uv: pip takes a few minutes longer"
    "$venv/bin/python" -m pip install --quiet -r requirements-dev.txt -e .
}

is_ready && exit 0
if [ -e "$venv" ] && [ ! -e "$venv/pyvenv.cfg" ]; then
    say "$venv is no environment of Python: remove it or name another one"
    exit 1
fi
# Of two at once, the second waits here; not every system has `flock`, and not every file system has locks.
exec 9> "$venv.lock" && flock 9 2> /dev/null
is_ready && exit 0
echo "Setting up $venv: 3 GB, a minute or more"
rm -f "$venv/ready"
if ! uv_from_path; then
    python_is_right || exit 1
    "$python" -m venv --clear "$venv" && { uv_from_pip || pip; } || {
        say "$venv could not be set up; when the cause is gone, run the same again"
        exit 1
    }
fi
facts > "$venv/ready"
