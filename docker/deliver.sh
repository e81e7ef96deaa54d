#!/bin/sh
# Takes a folder's files in as the drop of a month: checked, all or nothing, and owned by the platform, which must be able to
# change them (a correction, `churn forget`). Usage: sh docker/deliver.sh FOLDER 2024-01-31
set -eu
[ $# = 2 ] || { echo "Name the folder with the month's files, and its date: sh docker/deliver.sh FOLDER 2024-01-31" >&2; exit 2; }
[ -d "$1" ] || { echo "$1 is no folder: name the folder with the month's files." >&2; exit 2; }
tar -C "$1" -c . | docker compose -f "$(dirname "$0")/compose.yaml" exec -T dagster-code sh -c '
  taken=$(mktemp -d)
  trap "rm -rf $taken" EXIT
  tar -C "$taken" -x && churn ingest "$taken" --as-of "$0"' "$2"
