# Caddy as a user without rights. The image's own binary carries a file capability, with which a process that may gain no
# privileges cannot start it: a copy has none. What the image keeps in its volumes must belong to the user, folders within too,
# and so must the home's: a new volume gets its owner from the image of the first container that mounts it.
FROM caddy:2.10.0-alpine
RUN cp /usr/bin/caddy /usr/local/bin/caddy \
    && adduser -D -H -u 10001 churn \
    && mkdir -p /srv/churn \
    && chown -R churn:churn /data /config /srv/churn
USER 10001:10001
HEALTHCHECK --interval=15s --timeout=5s CMD ["wget", "-q", "-O", "/dev/null", "http://127.0.0.1:8080/alive"]
