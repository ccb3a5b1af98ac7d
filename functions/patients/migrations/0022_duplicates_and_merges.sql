-- Whom to compare with everybody else: whoever is new, or has changed. Rows are written by a trigger,
-- in the transaction of the change, so that nobody is forgotten however they came; a run of
-- find-duplicates takes them.
-- A row for each change, so that no change waits for a run.
CREATE TABLE patients.duplicate_check (
    id         bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT duplicate_check_pkey PRIMARY KEY,
    patient_id uuid   NOT NULL
);

CREATE FUNCTION patients.check_for_duplicates() RETURNS trigger
    LANGUAGE plpgsql
AS $$
BEGIN
    INSERT INTO patients.duplicate_check (patient_id)
    SELECT id FROM changed;
    RETURN NULL;
END
$$;

CREATE TRIGGER new_patients_are_compared
    AFTER INSERT ON patients.patient REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION patients.check_for_duplicates();
CREATE TRIGGER changed_patients_are_compared
    AFTER UPDATE ON patients.patient REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION patients.check_for_duplicates();

REVOKE ALL ON FUNCTION patients.check_for_duplicates FROM PUBLIC;

INSERT INTO patients.duplicate_check (patient_id) SELECT id FROM patients.patient;

-- Two patients who may be one. What somebody has decided about them stays.
CREATE TABLE patients.duplicate_candidate (
    lower_id   uuid    NOT NULL REFERENCES patients.patient ON DELETE CASCADE,
    upper_id   uuid    NOT NULL REFERENCES patients.patient ON DELETE CASCADE,
    -- How likely it is, 0 to 1; null for a pair that somebody has decided about before it was found.
    score      double precision CHECK (score BETWEEN 0 AND 1),
    found_at   timestamptz NOT NULL DEFAULT now(),
    -- Set: they are two patients, says this user.
    decided_by uuid,
    decided_at timestamptz,
    CONSTRAINT duplicate_candidate_pkey PRIMARY KEY (lower_id, upper_id),
    CONSTRAINT duplicate_candidate_of_two CHECK (lower_id < upper_id)
);

CREATE INDEX duplicate_candidate_upper ON patients.duplicate_candidate (upper_id);
CREATE INDEX duplicate_candidate_open ON patients.duplicate_candidate (score DESC, lower_id, upper_id)
    WHERE decided_at IS NULL AND score IS NOT NULL;

-- A merge, with everything that is needed to undo it.
CREATE TABLE patients.merge (
    id                uuid        CONSTRAINT merge_pkey PRIMARY KEY,
    survivor_id       uuid        NOT NULL REFERENCES patients.patient ON DELETE CASCADE,
    duplicate_id      uuid        NOT NULL REFERENCES patients.patient ON DELETE CASCADE,
    -- The versions that the merge has made: if one of them is not the last any more, it cannot be
    -- undone.
    survivor_version  bigint      NOT NULL,
    duplicate_version bigint      NOT NULL,
    -- Both as they were before.
    survivor_before   jsonb       NOT NULL,
    duplicate_before  jsonb       NOT NULL,
    -- Those who had been merged into the duplicate, and are the survivor's now, with their versions.
    moved             jsonb       NOT NULL,
    -- Relationships, families and groups of both as they were before.
    belongings        jsonb       NOT NULL,
    merged_by         uuid        NOT NULL,
    merged_at         timestamptz NOT NULL DEFAULT now(),
    undone_by         uuid,
    undone_at         timestamptz
);

CREATE INDEX merge_survivor ON patients.merge (survivor_id);
CREATE INDEX merge_duplicate ON patients.merge (duplicate_id);

-- Every id that a patient has: their own, and those of the records that were merged into it. What
-- other services keep of a patient is found by any of them.
CREATE FUNCTION patients.ids_of(patient uuid) RETURNS uuid[]
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT array_append(
        ARRAY(SELECT id FROM patients.patient WHERE merged_into = patients.canonical(ids_of.patient)),
        patients.canonical(ids_of.patient))
$$;

-- Who is restricted is so under every id.
CREATE OR REPLACE FUNCTION patients.is_restricted(patient uuid) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT EXISTS (SELECT FROM patients.patient
                   WHERE id IN (is_restricted.patient, patients.canonical(is_restricted.patient))
                       AND restricted)
        OR EXISTS (SELECT FROM patients.restricted_before_deletion
                   WHERE patient_id = is_restricted.patient)
$$;

REVOKE ALL ON FUNCTION patients.ids_of, patients.is_restricted FROM PUBLIC;
