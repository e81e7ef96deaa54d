#!/bin/sh
# Tries the stack on this machine with two simulated months: promoted, served, scraped. Exits 1 where something is wrong.
# It starts a stack of its own (project `churn-try`, port 9443) and removes it with its volumes: no home is touched.
# Usage: sh docker/try.sh         (CHURN_TRY_PORT: another port; CHURN_TRY_KEEP=1: the stack stays up)
set -eu
cd "$(dirname "$0")/.."
[ -e docker/.env ] || { echo "docker/.env is missing. Run sh docker/prepare.sh first." >&2; exit 2; }
key=$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')
port=${CHURN_TRY_PORT:-9443}
# These take precedence over docker/.env. Nobody is alerted.
export COMPOSE_PROJECT_NAME=churn-try CHURN_DOMAIN=localhost CHURN_BIND=127.0.0.1 CHURN_PORT="$port" CHURN_TLS=internal
export CHURN_ALERT_URLS=
CHURN_API_KEYS=$(printf %s "$key" | sha256sum | cut -c1-64)
export CHURN_API_KEYS
compose="docker compose -f docker/compose.yaml"
made=$(mktemp -d)
end() {
  code=$?
  rm -rf "$made"
  if [ "$code" != 0 ]; then $compose ps --all; $compose logs --no-color --tail 50; fi
  [ -n "${CHURN_TRY_KEEP:-}" ] || $compose down --volumes --timeout 20
  exit "$code"
}
trap end EXIT
trap 'exit 1' HUP INT TERM
ask() { curl --silent --fail --insecure --max-time 10 --header "Authorization: Bearer $key" "https://api.localhost:$port$1"; }
until_ready() {  # seconds, what, command...
  end_at=$(($(date +%s) + $1)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    [ "$(date +%s)" -lt "$end_at" ] || { echo "not in time: $what" >&2; exit 1; }
    sleep 5
  done
  echo "$what"
}
says() {  # a Python expression on `it`, the JSON on stdin
  $compose exec -T dagster-code python -c "import json, sys; it = json.load(sys.stdin); sys.exit(not ($1))"
}
answers_with_version_1() { ask /model | says 'it["version"] == 1'; }
lists_customers() { ask "/customers/at-risk?top=3" | says "it['as_of'] == '$last' and len(it['customers']) == 3"; }
series() { $compose exec -T prometheus promtool query instant http://127.0.0.1:9090 "$1" | grep -q '=>'; }

$compose up --detach --wait --wait-timeout 900
$compose exec -T dagster-code churn simulate /tmp/simulated --users 2000 --months 2
$compose exec -T dagster-code tar -C /tmp/simulated -c . | tar -C "$made" -x
last=$(basename "$(ls -d "$made"/20* | tail -1)")
rm "$made/$last"/labels.*   # its customers can still leave: the list is of them
for month in "$made"/20*; do sh docker/deliver.sh "$month" "$(basename "$month")"; done
until_ready 1200 "version 1 is in production and the API answers with it" answers_with_version_1
until_ready 900 "the API lists customers at risk of $last" lists_customers
ask "/customers/at-risk?top=3"
echo
until_ready 120 "Prometheus has the API" series 'min(up{job="api"}) == 1'
until_ready 120 "Prometheus has the exporter" series 'max(churn_production_version) == 1'
until_ready 120 "the daemon is seen" series 'min(churn_daemon_up) == 1'
$compose exec -T dagster-code churn verify
login=$(curl --silent --insecure --output /dev/null --write-out '%{http_code}' "https://dagster.localhost:$port/")
[ "$login" = 401 ] || { echo "Dagster answers $login without a login, not 401." >&2; exit 1; }
echo "Dagster asks for a login"
if [ -n "${CHURN_TRY_KEEP:-}" ]; then
  echo "The stack stays up. API key: $key"
  echo "Remove it: docker compose --project-name churn-try -f docker/compose.yaml down --volumes"
fi
