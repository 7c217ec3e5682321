# environment.sh - Python with the packages that our files are read with, for interop and for bench-peers. Sourced, with $programs the folder of
# the programs, $interop this folder, and `skip`, which ends the script, saying what it needs.
#
# A virtual environment of its own, PROGRAM_FOLDER/interop, filled once from whatever registry pip is set up for: some gigabytes. $python is
# its interpreter; PEERS_PYTHON: one that has the packages, in place of it.
environment=$programs/interop
python=${PEERS_PYTHON:-$environment/bin/python}
# install FILE: the packages it lists, unless they are there.
install() {
    mark=$environment/$(cksum <"$1" | tr ' ' -)
    if [ -n "${PEERS_PYTHON:-}" ] || [ -e "$mark" ]; then return; fi
    echo "installing $(tr '\n' ' ' <"$1")"
    "$python" -m pip install --quiet --disable-pip-version-check --requirement "$1" >"$environment/pip.log" 2>&1 && touch "$mark"
}
# need FILE: the same, or the end.
need() { install "$1" || skip "packages of the Python registry: $(tail -n 1 "$environment/pip.log")"; }
[ -x "$python" ] || python3 -m venv "$environment" >/dev/null 2>&1 || { rm -rf "$environment"; skip python3-venv; }
need "$interop/requirements.txt"
export PYTHONDONTWRITEBYTECODE=1
