#!/bin/sh
# Runs a stage's command in the project's environment, whether or not it is active: the one on
# PATH that has goemotions, or the first .venv in this folder or above it (a temporary experiment
# lies inside the project, in .dvc/tmp/exps).
if ! command -v goemotions >/dev/null 2>&1; then
    dir=$PWD
    while [ ! -x "$dir/.venv/bin/goemotions" ]; do
        if [ "$dir" = / ]; then
            echo "error: goemotions is not installed here: run \`make setup\`, or activate" \
                "the environment that has it" >&2
            exit 1
        fi
        dir=$(dirname "$dir")
    done
    PATH="$dir/.venv/bin:$PATH"
fi
# A temporary experiment runs its own copy of the code, not the workspace's.
export PYTHONPATH="$PWD/src${PYTHONPATH:+:$PYTHONPATH}"
export PATH
# Before anything runs whose results DVC would lose.
[ -z "${DVC_STAGE:-}" ] || python -m goemotions.io.preflight || exit 1
# For a training to notice that the `dvc repro` that started it is gone.
export GOEMOTIONS_STARTER="${DVC_STAGE:+$PPID}"
# The Hub's files come by plain HTTP, whose faults the tests know; not by Xet, whose they do not.
export HF_HUB_DISABLE_XET="${HF_HUB_DISABLE_XET:-1}"
# accelerate's notice about defaults says less than the first line of a training run.
export ACCELERATE_LOG_LEVEL="${ACCELERATE_LOG_LEVEL:-ERROR}"
# `accelerate launch` would start a CPU run with one thread. And idle threads must sleep, not
# spin: on cores that another program shares, spinning slows training many times over.
OMP_NUM_THREADS="${OMP_NUM_THREADS:-$(python -m goemotions.io.cores)}" || exit 1
export OMP_NUM_THREADS
export OMP_WAIT_POLICY="${OMP_WAIT_POLICY:-PASSIVE}"
# accelerate itself ends with a traceback at Ctrl-C.
if [ "$1 $2" = "accelerate launch" ]; then
    shift 2
    set -- python -m goemotions.io.launch "$@"
fi
exec "$@"
