CREATE SCHEMA IF NOT EXISTS audit;

-- The records are in chains: each holds the hash of the one before it in its chain, so one
-- that is missing or was changed shows. There are several chains so that requests do not
-- wait for each other: a transaction has the chain that it adds to for itself until it ends.
CREATE TABLE audit.chain (
    number   smallint CONSTRAINT chain_pkey PRIMARY KEY,
    -- The last record, 0 and zeros before the first.
    sequence bigint   NOT NULL DEFAULT 0,
    hash     bytea    NOT NULL DEFAULT decode(repeat('00', 32), 'hex')
) WITH (fillfactor = 10);

INSERT INTO audit.chain (number) SELECT generate_series(0, 15);

CREATE TABLE audit.record (
    chain       smallint    NOT NULL,
    sequence    bigint      NOT NULL,
    id          uuid        NOT NULL CONSTRAINT record_once UNIQUE,
    occurred_at timestamptz NOT NULL,
    -- Whose access token it was, or whose password. Nobody before a login.
    actor_id    uuid,
    actor_role  text        CONSTRAINT record_role_bounded CHECK (length(actor_role) <= 40),
    action      text        NOT NULL CONSTRAINT record_action_named CHECK (action ~ '^[A-Z_]{1,40}$'),
    outcome     text        NOT NULL CONSTRAINT record_outcome_known CHECK (outcome IN ('SUCCEEDED', 'REFUSED', 'FAILED')),
    -- Why it did not succeed: the name of the problem that the client was told.
    problem     text        CONSTRAINT record_problem_bounded CHECK (length(problem) <= 40),
    -- Whose data; all that were on a page of a list. The hash knows no gaps among them.
    patient_ids uuid[]      NOT NULL
        CONSTRAINT record_patients_bounded CHECK (cardinality(patient_ids) <= 100)
        CONSTRAINT record_patients_named CHECK (array_position(patient_ids, NULL) IS NULL),
    -- Whose account.
    account_id  uuid,
    -- What somebody has said why, where they have to.
    reason      text        CONSTRAINT record_reason_bounded CHECK (length(reason) <= 500),
    source      text        CONSTRAINT record_source_bounded CHECK (length(source) <= 64),
    request_id  text        CONSTRAINT record_request_bounded CHECK (length(request_id) <= 128),
    hash        bytea       NOT NULL,

    CONSTRAINT record_pkey PRIMARY KEY (chain, sequence)
);

CREATE INDEX record_newest ON audit.record (occurred_at, id);
CREATE INDEX record_of_actor ON audit.record (actor_id, occurred_at, id);
CREATE INDEX record_of_account ON audit.record (account_id, occurred_at, id) WHERE account_id IS NOT NULL;
CREATE INDEX record_of_patient ON audit.record USING gin (patient_ids);

-- A value among others: its length in bytes before it, so that nothing can move from one
-- value to the next unnoticed.
CREATE FUNCTION audit.field(value text) RETURNS text
    LANGUAGE sql IMMUTABLE
    RETURN coalesce(octet_length(value) || ':' || value, '-');

-- The only way to write a record; what the other services may call. A record whose id is
-- there already is left as it is.
CREATE FUNCTION audit.append(
    id uuid, actor_id uuid, actor_role text, action text, outcome text, problem text,
    patient_ids uuid[], account_id uuid, reason text, source text, request_id text
) RETURNS void
    LANGUAGE plpgsql
    -- As the owner of the table: whoever calls may not write it. Temporary objects come
    -- last, because PostgreSQL looks at them first if they are not named: a type of the
    -- caller's making would have its checks run as the owner.
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    head     audit.chain%ROWTYPE;
    -- Drawn once, and not for each chain that it is compared with.
    any_one  smallint := floor(random() * 16);
    occurred timestamptz;
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
        || audit.field(append.request_id),
        'UTF8'));
    INSERT INTO audit.record
        (chain, sequence, id, occurred_at, actor_id, actor_role, action, outcome, problem,
         patient_ids, account_id, reason, source, request_id, hash)
    VALUES
        (head.number, head.sequence, append.id, occurred, append.actor_id, append.actor_role,
         append.action, append.outcome, append.problem, append.patient_ids, append.account_id,
         append.reason, append.source, append.request_id, head.hash)
    -- Somebody else has written it since it was looked for.
    ON CONFLICT ON CONSTRAINT record_once DO NOTHING;
    IF FOUND THEN
        UPDATE audit.chain SET sequence = head.sequence, hash = head.hash WHERE number = head.number;
    END IF;
END
$$;

-- Against mistakes of whoever owns the table. Malice shows in the chains.
CREATE FUNCTION audit.refuse_change() RETURNS trigger
    LANGUAGE plpgsql
AS $$
BEGIN
    RAISE EXCEPTION 'a record of the audit trail is final' USING ERRCODE = 'insufficient_privilege';
END
$$;

CREATE TRIGGER record_is_final
    BEFORE UPDATE OR DELETE OR TRUNCATE ON audit.record
    FOR EACH STATEMENT EXECUTE FUNCTION audit.refuse_change();

REVOKE ALL ON ALL ROUTINES IN SCHEMA audit FROM PUBLIC;
