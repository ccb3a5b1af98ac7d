-- A request without a valid token is nobody's, and anybody can make as many as they like. The
-- first of a source in a minute are on record one by one. Of the others there is a count, which
-- becomes one record when the minute is long over.
CREATE TABLE audit.refusal_count (
    minute  timestamptz NOT NULL,
    -- An address or a network of them; nothing stands for all sources beyond the first ones.
    source  text        NOT NULL CONSTRAINT refusal_count_source_bounded CHECK (length(source) <= 64),
    refused bigint      NOT NULL,
    -- How many of them are on record one by one.
    each    bigint      NOT NULL,

    CONSTRAINT refusal_count_pkey PRIMARY KEY (minute, source)
);

-- Answers whether the refusal is on record by itself. `at_most` are so from a source in a minute,
-- and ten times as many from all; so many sources are counted apart, and no more. One that is
-- counted and comes again, as CloudWatch Logs may deliver it, is counted again.
CREATE FUNCTION audit.append_refusal_of_nobody(
    id uuid, action text, problem text, patient_ids uuid[], account_id uuid, source text,
    request_id text, requested_at timestamptz, network text, at_most integer
) RETURNS boolean
    LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    in_minute  timestamptz := date_trunc('minute', requested_at, 'UTC');
    counted_as text := network;
    alone      boolean;
BEGIN
    IF EXISTS (SELECT FROM audit.record WHERE record.id = append_refusal_of_nobody.id) THEN
        RETURN true;
    END IF;
    IF NOT EXISTS (SELECT FROM audit.refusal_count AS known
                   WHERE known.minute = in_minute AND known.source = network)
       AND (SELECT count(*) FROM audit.refusal_count AS known
            WHERE known.minute = in_minute) >= at_most THEN
        counted_as := '';
    END IF;
    INSERT INTO audit.refusal_count AS known (minute, source, refused, each)
    VALUES (in_minute, counted_as, 1, 0)
    ON CONFLICT ON CONSTRAINT refusal_count_pkey DO UPDATE SET refused = known.refused + 1;
    UPDATE audit.refusal_count AS known SET each = known.each + 1
    WHERE known.minute = in_minute AND known.source = counted_as AND counted_as <> ''
      AND known.each < at_most
      AND (SELECT sum(other.each) FROM audit.refusal_count AS other
           WHERE other.minute = in_minute) < 10 * at_most;
    alone := FOUND;
    IF alone THEN
        PERFORM audit.append(id, NULL, NULL, action, 'REFUSED', problem, patient_ids, account_id,
            NULL, source, request_id);
    END IF;
    RETURN alone;
END
$$;

-- Puts the counts of minutes that are long over on record. Answers how many records that took.
CREATE FUNCTION audit.append_refusal_counts() RETURNS integer
    LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    gone     audit.refusal_count%ROWTYPE;
    appended integer := 0;
BEGIN
    FOR gone IN
        DELETE FROM audit.refusal_count AS known
        WHERE (known.minute, known.source) IN (
            SELECT past.minute, past.source FROM audit.refusal_count AS past
            WHERE past.minute < now() - interval '10 minutes'
            ORDER BY past.minute, past.source
            LIMIT 1000
            FOR UPDATE SKIP LOCKED
        )
        RETURNING known.*
    LOOP
        CONTINUE WHEN gone.refused = gone.each;
        PERFORM audit.append(gen_random_uuid(), NULL, NULL, 'REQUESTS_WITHOUT_TOKEN', 'REFUSED',
            'unauthorized', '{}', NULL,
            format('%s more in the minute from %s', gone.refused - gone.each,
                to_char(gone.minute AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI"Z"')),
            nullif(gone.source, ''), NULL);
        appended := appended + 1;
    END LOOP;
    RETURN appended;
END
$$;

REVOKE ALL ON FUNCTION audit.append_refusal_of_nobody, audit.append_refusal_counts FROM PUBLIC;
