#!/usr/bin/env bash
# What a branch does to the scores: runs the commit where it left BASE and its own last commit, and
# writes reports/pull-request/comment.md and a page with plots. Nothing else in this folder changes;
# uncommitted changes do not count.
#
#   tools/pull_request.sh BASE [-S SETTING=VALUE]...
#
# Both are run with the small model on the sample, unless -S says otherwise. What DVC's cache or remote
# has is not run again.
set -euo pipefail
cd "$(dirname "$0")/.."
base=${1:?usage: tools/pull_request.sh BASE [-S SETTING=VALUE]...}
shift
set -- -S dataset=sample -S model=deberta-v3-tiny "$@" # the last one of a setting counts
[ ! -d .venv ] || PATH="$PWD/.venv/bin:$PATH"
[ -z "$(git rev-parse --show-prefix)" ] || {
    echo "error: the project is a folder of a larger git repository, which this cannot clone" >&2
    exit 1
}
head=$(git rev-parse HEAD)
base=$(git merge-base "$base" HEAD) || {
    echo "error: BASE must be a commit or a branch with which this one has commits in common" >&2
    exit 1
}
output="$PWD/reports/pull-request"
cache=$(dvc cache dir)
[ -z "${GOEMOTIONS_MIRROR:-}" ] || GOEMOTIONS_MIRROR=$(cd "$GOEMOTIONS_MIRROR" && pwd)
clone=$(mktemp -d)
trap 'rm -rf "$clone"' EXIT
git clone -q . "$clone"
[ ! -f .dvc/config.local ] || cp .dvc/config.local "$clone/.dvc/"
rm -rf "$output"
mkdir -p "$output"
cd "$clone"
dvc cache dir --local "$cache"
pull=$(dvc config core.remote 2>/dev/null) || true
for run in "before $base" "after $head"; do
    git checkout -q --detach "${run#* }"
    log="$output/${run% *}.log"
    dvc exp run --temp -n "pr-${run% *}" ${pull:+--pull} "$@" evaluate baseline >"$log" 2>&1 || {
        cat "$log"
        exit 1
    }
done
{
    echo "### ${base:0:7} and ${head:0:7} with \`$*\`"
    echo
    dvc metrics diff --md pr-before pr-after
    echo
    goemotions compare --only pr- --markdown --html "$output/comparison.html"
} >"$output/comment.md"
echo "reports/pull-request: comment.md and comparison.html"
