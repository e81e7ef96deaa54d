#!/bin/sh
# Writes docker/.env and docker/secrets/ with new secrets; what is there stays. Shows once what only people need.
set -eu
cd "$(dirname "$0")"
if [ -e .env ]; then
  echo "docker/.env is there and stays as it is."
  exit 0
fi
umask 077
secret() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
digest() { printf %s "$1" | sha256sum | cut -c1-64; }
hash_of() {  # any caddy will do; else the one of the stack
  if command -v caddy >/dev/null 2>&1; then caddy hash-password --plaintext "$1"
  else docker run --rm caddy:2.10.0-alpine caddy hash-password --plaintext "$1"; fi
}
proxy=$(secret) grafana=$(secret) mlflow=$(secret) api=$(secret) metrics=$(secret)
hashed=$(hash_of "$proxy")
mkdir -p secrets
# Prometheus runs as a user of its own and only reads it.
printf %s "$metrics" > secrets/metrics_key
chmod 755 secrets
chmod 644 secrets/metrics_key
sed -e "s|^POSTGRES_PASSWORD=.*|POSTGRES_PASSWORD=$(secret)|" \
    -e "s|^REDIS_PASSWORD=.*|REDIS_PASSWORD=$(secret)|" \
    -e "s|^MLFLOW_PASSWORD=.*|MLFLOW_PASSWORD=$mlflow|" \
    -e "s|^MLFLOW_SECRET=.*|MLFLOW_SECRET=$(secret)|" \
    -e "s|^GRAFANA_PASSWORD=.*|GRAFANA_PASSWORD=$grafana|" \
    -e "s|^PROXY_PASSWORD_HASH=.*|PROXY_PASSWORD_HASH='$hashed'|" \
    -e "s|^CHURN_API_KEYS=.*|CHURN_API_KEYS=$(digest "$api")|" \
    -e "s|^CHURN_METRICS_KEYS=.*|CHURN_METRICS_KEYS=$(digest "$metrics")|" .env.example > .env.new
mv .env.new .env
cat <<TEXT
Wrote docker/.env and docker/secrets/. Keep these; they are shown once:
  Dagster and its reports   churn  $proxy
  MLflow                    churn  $mlflow
  Grafana                   churn  $grafana
  API key                          $api
TEXT
