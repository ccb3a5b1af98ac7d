-- Up to where each chain has been read and found intact: a verification reads what came after
-- it, and not everything.
CREATE TABLE audit.verified_end (
    chain       smallint    CONSTRAINT verified_end_pkey PRIMARY KEY,
    sequence    bigint      NOT NULL,
    hash        bytea       NOT NULL,
    verified_at timestamptz NOT NULL
);

-- The only way to write it. An end moves forward, and to a record that is there.
CREATE FUNCTION audit.note_verified(chain smallint, sequence bigint, hash bytea) RETURNS void
    LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO audit.verified_end AS known (chain, sequence, hash, verified_at)
    SELECT record.chain, record.sequence, record.hash, clock_timestamp()
    FROM audit.record
    WHERE record.chain = note_verified.chain
      AND record.sequence = note_verified.sequence
      AND record.hash = note_verified.hash
    ON CONFLICT ON CONSTRAINT verified_end_pkey DO UPDATE
        SET sequence = excluded.sequence, hash = excluded.hash, verified_at = excluded.verified_at
        WHERE known.sequence < excluded.sequence;
END
$$;

REVOKE ALL ON FUNCTION audit.note_verified FROM PUBLIC;
