#!/bin/sh
# Prints the first Python that is new enough and can make virtual environments; PYTHON, if set, is tried first.
found=
for python in ${PYTHON:+"$PYTHON"} python3 python3.13 python3.12 python3.11; do
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue
  found=$python
  "$python" -c 'import ensurepip, venv' 2>/dev/null && echo "$python" && exit 0
done
if [ "$found" ]; then
  echo "$found cannot make virtual environments. On Debian and Ubuntu: apt install python3-venv" >&2
else
  echo "Facegrid needs Python 3.11 or later, and none is on the PATH. Name one with: make setup PYTHON=/path/to/python3" >&2
fi
exit 1
