#!/bin/sh
# Takes a folder's files in as the drop of a month: checked, all or nothing, and owned by the platform, which must be able to
# change them (a correction, `churn forget`). Usage: sh docker/deliver.sh FOLDER 2024-01-31
set -eu
tar -C "$1" -c . | docker compose -f "$(dirname "$0")/compose.yaml" exec -T dagster-code sh -c '
  taken=$(mktemp -d)
  trap "rm -rf $taken" EXIT
  tar -C "$taken" -x && churn ingest "$taken" --as-of "$0"' "$2"
