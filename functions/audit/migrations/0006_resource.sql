-- What a record is about beside patients and accounts: an invoice, an appointment. And what its
-- hash covers, which differs for the records that were there before.
ALTER TABLE audit.record
    ADD COLUMN resource_type text
        CONSTRAINT record_resource_named CHECK (resource_type ~ '^[A-Z_]{1,40}$'),
    ADD COLUMN resource_id uuid,
    -- 1: everything up to request_id. 2: the resource and this version as well. A call of
    -- audit.append that began before this migration inserts its record after it, without a
    -- version: that is 1, too.
    ADD COLUMN hash_version smallint NOT NULL DEFAULT 1
        CONSTRAINT record_hash_version_known CHECK (hash_version IN (1, 2)),
    ADD CONSTRAINT record_resource_whole CHECK ((resource_type IS NULL) = (resource_id IS NULL)),
    ADD CONSTRAINT record_resource_hashed CHECK (hash_version >= 2 OR resource_type IS NULL);

CREATE INDEX record_of_resource ON audit.record (resource_id, resource_type, occurred_at, id)
    WHERE resource_id IS NOT NULL;

-- As before, and about a resource.
CREATE FUNCTION audit.append(
    id uuid, actor_id uuid, actor_role text, action text, outcome text, problem text,
    patient_ids uuid[], account_id uuid, reason text, source text, request_id text,
    resource_type text, resource_id uuid
) RETURNS void
    LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    head     audit.chain%ROWTYPE;
    -- Drawn once, and not for each chain that it is compared with.
    any_one  smallint := floor(random() * 16);
    occurred timestamptz;
    version  CONSTANT smallint := 2;
BEGIN
    IF EXISTS (SELECT FROM audit.record WHERE record.id = append.id) THEN
        RETURN;
    END IF;
    SELECT * INTO head FROM audit.chain ORDER BY number LIMIT 1 FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        SELECT * INTO STRICT head FROM audit.chain WHERE number = any_one FOR UPDATE;
    END IF;
    -- Not the start of the transaction, which may have waited: in a chain, time goes on.
    occurred := clock_timestamp();
    head.sequence := head.sequence + 1;
    -- Verified in functions/audit/src/chain.rs, which says the same in Rust.
    head.hash := sha256(head.hash || convert_to(
        audit.field(head.number::text)
        || audit.field(head.sequence::text)
        || audit.field(append.id::text)
        || audit.field((extract(epoch FROM occurred) * 1000000)::bigint::text)
        || audit.field(append.actor_id::text)
        || audit.field(append.actor_role)
        || audit.field(append.action)
        || audit.field(append.outcome)
        || audit.field(append.problem)
        || audit.field(array_to_string(append.patient_ids, ','))
        || audit.field(append.account_id::text)
        || audit.field(append.reason)
        || audit.field(append.source)
        || audit.field(append.request_id)
        || audit.field(append.resource_type)
        || audit.field(append.resource_id::text)
        || audit.field(version::text),
        'UTF8'));
    INSERT INTO audit.record
        (chain, sequence, id, occurred_at, actor_id, actor_role, action, outcome, problem,
         patient_ids, account_id, reason, source, request_id, resource_type, resource_id,
         hash_version, hash)
    VALUES
        (head.number, head.sequence, append.id, occurred, append.actor_id, append.actor_role,
         append.action, append.outcome, append.problem, append.patient_ids, append.account_id,
         append.reason, append.source, append.request_id, append.resource_type,
         append.resource_id, version, head.hash)
    -- Somebody else has written it since it was looked for.
    ON CONFLICT ON CONSTRAINT record_once DO NOTHING;
    IF FOUND THEN
        UPDATE audit.chain SET sequence = head.sequence, hash = head.hash WHERE number = head.number;
    END IF;
END
$$;

-- About no resource. Replaced and not dropped: functions that were deployed before call it, and
-- keep the privilege to.
CREATE OR REPLACE FUNCTION audit.append(
    id uuid, actor_id uuid, actor_role text, action text, outcome text, problem text,
    patient_ids uuid[], account_id uuid, reason text, source text, request_id text
) RETURNS void
    LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM audit.append(id, actor_id, actor_role, action, outcome, problem, patient_ids,
        account_id, reason, source, request_id, NULL, NULL);
END
$$;

-- As before, and about a resource.
CREATE FUNCTION audit.append_refusal_of_nobody(
    id uuid, action text, problem text, patient_ids uuid[], account_id uuid, source text,
    request_id text, requested_at timestamptz, network text, at_most integer,
    resource_type text, resource_id uuid
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
            NULL, source, request_id, resource_type, resource_id);
    END IF;
    RETURN alone;
END
$$;

-- About no resource, as audit.append.
CREATE OR REPLACE FUNCTION audit.append_refusal_of_nobody(
    id uuid, action text, problem text, patient_ids uuid[], account_id uuid, source text,
    request_id text, requested_at timestamptz, network text, at_most integer
) RETURNS boolean
    LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN audit.append_refusal_of_nobody(id, action, problem, patient_ids, account_id, source,
        request_id, requested_at, network, at_most, NULL, NULL);
END
$$;

REVOKE ALL ON ALL ROUTINES IN SCHEMA audit FROM PUBLIC;
