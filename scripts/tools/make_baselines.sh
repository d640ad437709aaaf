#!/bin/sh
# make_baselines.sh VENV: the programs to compare with, in an environment of their own.
# PTYPY=ARCHIVE names ptypy's source archive (it is on no package registry); what cannot be
# installed is said, and the rest goes on.
set -eu
venv=$1
[ -x "$venv/bin/python" ] || "${PYTHON:-python3}" -m venv "$venv"
pip="$venv/bin/python -m pip --disable-pip-version-check"
failed=""
$pip install --quiet -r scripts/benchmarks/baselines.txt || failed="pty-chi"
archive=${PTYPY:-https://github.com/ptycho/ptypy/archive/refs/tags/v0.9.0.tar.gz}
$pip install --quiet --timeout 20 --retries 0 "$archive" || failed="$failed ptypy ($archive)"
$pip list --format=freeze | grep -iE '^(ptychi|ptypy|python-ptycho|torch|torchvision|numpy)=' || true
if [ -n "$failed" ]; then
    echo "Could not be installed: $failed" >&2
fi
# ptypy is a second opinion that no table needs yet; pty-chi is what the comparison runs.
"$venv/bin/python" -m pip show --quiet ptychi
