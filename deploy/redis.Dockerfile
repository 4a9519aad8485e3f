# Redis with Facegrid's durability settings inside, so that no file of this machine has to be mounted, and never as root.
FROM redis:7
COPY deploy/redis.conf /etc/facegrid/redis.conf
RUN mkdir -p /data && chown redis:redis /data
WORKDIR /data
USER redis
