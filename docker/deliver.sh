#!/bin/sh
# Delivers a folder's files as the drop of a month. The drop is validated, accepted or refused as one, and owned by the platform,
# which must be able to change it (a correction, `churn forget`). Usage: sh docker/deliver.sh FOLDER 2024-01-31
set -eu
[ $# = 2 ] || { echo "Name the folder with the month's files, and its date: sh docker/deliver.sh FOLDER 2024-01-31" >&2; exit 2; }
[ -d "$1" ] || { echo "$1 is not a folder. Name the folder with the month's files." >&2; exit 2; }
# Unpacked in the home, because /tmp is memory. `churn doctor --fix` removes what a killed delivery leaves there.
tar -C "$1" -c . | docker compose -f "$(dirname "$0")/compose.yaml" exec -T dagster-code sh -c '
  taken=$(mktemp -d "$CHURN_HOME/drops/.delivery.XXXXXXXX.tmp")
  trap "rm -rf $taken" EXIT
  trap "exit 1" HUP INT TERM
  tar -C "$taken" -x && churn ingest "$taken" --as-of "$0"' "$2"
