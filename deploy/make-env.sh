#!/bin/sh
# Copies .env.example from stdin to stdout and fills in each secret that it leaves empty with 192 random bits.
while IFS= read -r line; do
  case $line in
    FACEGRID_API_KEYS= | FACEGRID_CLUSTER_KEY= | FACEGRID_REDIS_PASSWORD=)
      line=$line$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n') ;;
  esac
  printf '%s\n' "$line"
done
