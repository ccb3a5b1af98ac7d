-- The answers to requests that had an Idempotency-Key, for when they come again. Kept for
-- 24 hours; the relay of the outbox deletes what is older. The answers hold patients' data.
CREATE TABLE patients.idempotency_key (
    -- SHA-256 of the caller's id, the method, the path and the key.
    id           bytea       PRIMARY KEY CHECK (octet_length(id) = 32),
    -- SHA-256 of what was asked for: another one under the same id is another request.
    fingerprint  bytea       NOT NULL CHECK (octet_length(fingerprint) = 32),
    status       smallint    NOT NULL CHECK (status BETWEEN 200 AND 499),
    content_type text,
    entity_tag   text,
    location     text,
    body         bytea       NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX idempotency_key_created_at ON patients.idempotency_key (created_at);
