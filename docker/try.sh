#!/bin/sh
# Two simulated months through the stack that is up: promoted, served, scraped. Ends with an error where something is not so.
# Usage: sh docker/try.sh API_KEY
set -eu
cd "$(dirname "$0")/.."
key=$1
compose="docker compose -f docker/compose.yaml"
ask() { curl --silent --fail --insecure --max-time 10 --header "Authorization: Bearer $key" "https://api.localhost:8443$1"; }
until_ready() {  # seconds, what, command...
  left=$1 what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    left=$((left - 5))
    [ "$left" -gt 0 ] || { echo "not in time: $what" >&2; exit 1; }
    sleep 5
  done
  echo "$what"
}
has_production() { $compose exec -T dagster-code churn status --json | grep -q '"version": 1'; }
series() { $compose exec -T prometheus promtool query instant http://127.0.0.1:9090 "$1" | grep -q '=>'; }

$compose exec -T dagster-code churn simulate /tmp/simulated --users 2000 --months 2
made=$(mktemp -d)
$compose exec -T dagster-code tar -C /tmp/simulated -c . | tar -C "$made" -x
for month in "$made"/20*; do sh docker/deliver.sh "$month" "$(basename "$month")"; done
until_ready 900 "version 1 is in production" has_production
until_ready 60 "the API answers with it" ask /model
ask "/customers/at-risk?top=3"
echo
until_ready 120 "Prometheus has the API" series 'min(up{job="api"}) == 1'
until_ready 120 "Prometheus has the exporter" series 'max(churn_production_version) == 1'
until_ready 120 "the daemon is seen" series 'min(churn_daemon_up) == 1'
[ "$(curl --silent --insecure --output /dev/null --write-out '%{http_code}' https://dagster.localhost:8443/)" = 401 ]
echo "Dagster asks for a login"
