-- A record is written for every read, so what it costs is most of what a read costs.

-- The strongest lock first: whoever appends has read the table before they write to it, and would
-- stand in the way of a lock that grows. They wait until the indexes are there.
LOCK TABLE audit.record IN ACCESS EXCLUSIVE MODE;

-- Fewer indexes. Those that are left have at their end what else may be asked for: what does not fit
-- is passed over in the index, without a look at the record.
CREATE INDEX record_by_actor ON audit.record (actor_id, occurred_at, id, action, outcome)
    WHERE actor_id IS NOT NULL;
CREATE INDEX record_by_action ON audit.record (action, occurred_at, id, outcome);
CREATE INDEX record_by_failure ON audit.record (outcome, occurred_at, id, action, actor_id)
    WHERE outcome <> 'SUCCEEDED';
DROP INDEX
    audit.record_of_actor, audit.record_of_actor_action, audit.record_not_done_of_actor,
    audit.record_of_action, audit.record_of_action_outcome, audit.record_not_done;

-- The bounds of a record are checked by audit.append, which is the only way to write one: PostgreSQL
-- reads the text of each constraint anew for every record.
ALTER TABLE audit.record
    DROP CONSTRAINT record_role_bounded,
    DROP CONSTRAINT record_action_named,
    DROP CONSTRAINT record_outcome_known,
    DROP CONSTRAINT record_problem_bounded,
    DROP CONSTRAINT record_patients_bounded,
    DROP CONSTRAINT record_patients_named,
    DROP CONSTRAINT record_reason_bounded,
    DROP CONSTRAINT record_source_bounded,
    DROP CONSTRAINT record_request_bounded,
    DROP CONSTRAINT record_resource_named,
    DROP CONSTRAINT record_hash_version_known,
    DROP CONSTRAINT record_resource_whole,
    DROP CONSTRAINT record_resource_hashed;

-- As before, with the same hash. Its values are put together here: audit.field would be called for
-- most of them as a function, which takes longer than everything else.
CREATE OR REPLACE FUNCTION audit.append(
    id uuid, actor_id uuid, actor_role text, action text, outcome text, problem text,
    patient_ids uuid[], account_id uuid, reason text, source text, request_id text,
    resource_type text, resource_id uuid
) RETURNS void
    LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    in_chain smallint;
    place    bigint;
    link     bytea;
    occurred timestamptz;
    micros   text;
    patients text;
    letters  CONSTANT text := 'ABCDEFGHIJKLMNOPQRSTUVWXYZ_';
BEGIN
    IF NOT coalesce(
        action <> '' AND length(action) <= 40 AND translate(action, letters, '') = ''
        AND outcome IN ('SUCCEEDED', 'REFUSED', 'FAILED')
        AND cardinality(patient_ids) <= 100 AND array_position(patient_ids, NULL) IS NULL
        AND (actor_role IS NULL OR length(actor_role) <= 40)
        AND (problem IS NULL OR length(problem) <= 40)
        AND (reason IS NULL OR length(reason) <= 500)
        AND (source IS NULL OR length(source) <= 64)
        AND (request_id IS NULL OR length(request_id) <= 128)
        AND (resource_type IS NULL) = (resource_id IS NULL)
        AND (resource_type IS NULL OR resource_type <> '' AND length(resource_type) <= 40
             AND translate(resource_type, letters, '') = ''),
        false
    ) THEN
        RAISE EXCEPTION 'this is no record of the audit trail' USING ERRCODE = 'check_violation';
    END IF;

    SELECT number, sequence + 1, hash INTO in_chain, place, link
    FROM audit.chain ORDER BY number LIMIT 1 FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        in_chain := floor(random() * 16);
        SELECT sequence + 1, hash INTO STRICT place, link
        FROM audit.chain WHERE number = in_chain FOR UPDATE;
    END IF;
    -- Not the start of the transaction, which may have waited: in a chain, time goes on.
    occurred := clock_timestamp();
    micros := (extract(epoch FROM occurred) * 1000000)::bigint::text;
    patients := array_to_string(patient_ids, ',');
    -- Verified in functions/audit/src/chain.rs, which says the same in Rust. A UUID has 36 bytes.
    link := sha256(link || convert_to(
        octet_length(in_chain::text)::text || ':' || in_chain::text
        || octet_length(place::text)::text || ':' || place::text
        || '36:' || id::text
        || octet_length(micros)::text || ':' || micros
        || coalesce('36:' || actor_id::text, '-')
        || coalesce(octet_length(actor_role)::text || ':' || actor_role, '-')
        || octet_length(action)::text || ':' || action
        || octet_length(outcome)::text || ':' || outcome
        || coalesce(octet_length(problem)::text || ':' || problem, '-')
        || octet_length(patients)::text || ':' || patients
        || coalesce('36:' || account_id::text, '-')
        || coalesce(octet_length(reason)::text || ':' || reason, '-')
        || coalesce(octet_length(source)::text || ':' || source, '-')
        || coalesce(octet_length(request_id)::text || ':' || request_id, '-')
        || coalesce(octet_length(resource_type)::text || ':' || resource_type, '-')
        || coalesce('36:' || resource_id::text, '-')
        || '1:2',
        'UTF8'));
    INSERT INTO audit.record
        (chain, sequence, id, occurred_at, actor_id, actor_role, action, outcome, problem,
         patient_ids, account_id, reason, source, request_id, resource_type, resource_id,
         hash_version, hash)
    VALUES
        (in_chain, place, append.id, occurred, append.actor_id, append.actor_role,
         append.action, append.outcome, append.problem, append.patient_ids, append.account_id,
         append.reason, append.source, append.request_id, append.resource_type,
         append.resource_id, 2, link)
    -- It has been written already.
    ON CONFLICT ON CONSTRAINT record_once DO NOTHING;
    IF FOUND THEN
        UPDATE audit.chain SET sequence = place, hash = link WHERE number = in_chain;
    END IF;
END
$$;
