#!/bin/sh
# wait-ready.sh CONTAINER SECONDS: returns 0 once the gateway in the container has every shard, 1 when the time is over.
container=$1 left=$2
until docker exec "$container" python -m deploy.healthcheck /readyz 2>/dev/null; do
  left=$((left - 1))
  [ "$left" -gt 0 ] || exit 1
  sleep 1
done
