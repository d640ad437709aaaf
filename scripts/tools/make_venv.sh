#!/bin/sh
# make_venv.sh VENV: make the virtual environment VENV with the first suitable Python on this
# machine and install the project into it, editable, at the versions of constraints.txt.
set -eu
venv=$1
suitable='import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'

if ! "$venv/bin/python" -c "$suitable" 2>/dev/null; then
    for python in "${PYTHON:-python3}" python3.13 python3.12 python3.11 python3 python; do
        if command -v "$python" >/dev/null 2>&1 && "$python" -c "$suitable" 2>/dev/null; then
            found=$python
            break
        fi
    done
    if [ -z "${found:-}" ]; then
        echo "No Python 3.11, 3.12 or 3.13 with venv was found." >&2
        echo "Install one, or name it: make install PYTHON=/path/to/python3.12" >&2
        exit 1
    fi
    echo "Making $venv with $("$found" --version) ..."
    "$found" -m venv --clear "$venv"
fi
echo "Installing ptycho and what it needs into $venv (about 300 MB to fetch the first time) ..."
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    -c constraints.txt --editable '.[cpu,dev]'
echo "Installed."
