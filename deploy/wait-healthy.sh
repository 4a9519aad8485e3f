#!/bin/sh
# wait-healthy.sh CONTAINER SECONDS: returns 0 once the engine calls the container healthy, 1 when the time is over.
# (`docker compose up --wait` does this too; docker-compose 1.29 has no such option.)
container=$1 left=$2
until [ "$(docker inspect --format '{{.State.Health.Status}}' "$container")" = healthy ]; do
  left=$((left - 1))
  [ "$left" -gt 0 ] || exit 1
  sleep 1
done
