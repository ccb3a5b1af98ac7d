-- Every version of a patient: what it was, who made it, and when. Written in the transaction of the
-- change. Nobody changes it: the service's role may insert and read, and what a patient's erasure
-- has to remove is removed by patients.erase.
CREATE TABLE patients.patient_version (
    patient_id uuid        NOT NULL,
    version    bigint      NOT NULL CHECK (version > 0),
    kind       text        NOT NULL CONSTRAINT patient_version_kind_known CHECK (kind IN (
                   'CREATE', 'UPDATE', 'DELETE', 'RESTORE', 'MERGE', 'UNMERGE')),
    -- The patient as the API answered with them. A later form of the answer does not change it.
    snapshot   jsonb       NOT NULL,
    at         timestamptz NOT NULL,
    -- Who made it; null for what was there before there was a history, and for what no user does.
    actor_id   uuid,

    CONSTRAINT patient_version_pkey PRIMARY KEY (patient_id, version)
);

-- The history of those who are there begins with their current version.
INSERT INTO patients.patient_version (patient_id, version, kind, snapshot, at, actor_id)
SELECT id, version, CASE WHEN version = 1 THEN 'CREATE' ELSE 'UPDATE' END,
       jsonb_build_object(
           'id', id,
           'version', version,
           'recordNumber', record_number::text,
           'name', name,
           'email', email,
           'address', address,
           'dateOfBirth', date_of_birth,
           'registeredDate', registered_date,
           'names', jsonb_build_array(jsonb_build_object(
               'use', 'OFFICIAL', 'text', name, 'family', NULL, 'given', '[]'::jsonb,
               'prefix', NULL, 'suffix', NULL, 'from', NULL, 'to', NULL)),
           'identifiers', '[]'::jsonb,
           'phones', '[]'::jsonb,
           'emails', jsonb_build_array(jsonb_build_object('use', NULL, 'address', email)),
           'addresses', jsonb_build_array(jsonb_build_object(
               'use', NULL, 'text', address, 'lines', '[]'::jsonb, 'city', NULL, 'state', NULL,
               'postalCode', NULL, 'country', NULL, 'from', NULL, 'to', NULL)),
           'birthDate', jsonb_build_object(
               'value', date_of_birth::text, 'precision', 'DAY', 'estimated', false),
           'sex', NULL,
           'genderIdentity', NULL,
           'language', NULL,
           'deceased', false,
           'deceasedDate', NULL,
           'contacts', '[]'::jsonb,
           'restricted', restricted,
           'active', true,
           'mergedInto', NULL,
           'deletedAt', NULL,
           'createdAt',
           to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
           'updatedAt',
           to_char(updated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')),
       updated_at, NULL
FROM patients.patient;

-- Functions of before delete the row. No history is left of who is not there.
CREATE FUNCTION patients.forget_versions() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    DELETE FROM patients.patient_version WHERE patient_id = OLD.id;
    RETURN NULL;
END
$$;

CREATE TRIGGER history_goes_with_patient
    AFTER DELETE ON patients.patient
    FOR EACH ROW EXECUTE FUNCTION patients.forget_versions();

REVOKE ALL ON FUNCTION patients.forget_versions FROM PUBLIC;

-- Who was erased, and when: nothing but the id, so that whoever keeps a copy of the patients learns
-- that this one has to go.
CREATE TABLE patients.erased_patient (
    id         uuid        CONSTRAINT erased_patient_pkey PRIMARY KEY,
    restricted boolean     NOT NULL,
    erased_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE INDEX erased_patient_at ON patients.erased_patient (erased_at, id);

-- Removes a deleted patient for good: the record, its history, what the search knows of it, and what
-- the answers say that were stored for repeated requests. The requests themselves stay known: a
-- registration that is repeated would register the patient again. What others must hear of stays in
-- the outbox.
-- The number of the record is not given again: numbers come from a sequence.
--
-- It runs as the owner, because nobody else may touch the history. Returns the version that the
-- erasure is, or null if there is no deleted patient with this id. A record that was merged into a
-- deleted one is as good as deleted, and has to be erased before that one.
CREATE FUNCTION patients.erase(patient uuid) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    last  bigint;
    taken record;
BEGIN
    SELECT version INTO last FROM patients.patient
    WHERE id = erase.patient
      AND (deleted_at IS NOT NULL
           OR EXISTS (SELECT FROM patients.patient AS survivor
                      WHERE survivor.id = patient.merged_into AND survivor.deleted_at IS NOT NULL))
    FOR UPDATE;
    IF last IS NULL THEN
        RETURN NULL;
    END IF;
    DELETE FROM patients.patient_version WHERE patient_id = erase.patient;
    -- What merges that were undone had made of somebody else's record: until then, that record had
    -- what this patient has, and so had the records that it was merged into meanwhile.
    FOR taken IN
        WITH RECURSIVE merges AS (
            SELECT id, survivor_id, survivor_before, merged_at, undone_at FROM patients.merge
            WHERE duplicate_id = erase.patient AND undone_at IS NOT NULL
            UNION
            SELECT next.id, next.survivor_id, next.survivor_before, next.merged_at, next.undone_at
            FROM merges JOIN patients.merge AS next ON next.duplicate_id = merges.survivor_id
            WHERE next.merged_at >= merges.merged_at AND next.undone_at <= merges.undone_at)
        SELECT * FROM merges
    LOOP
        UPDATE patients.patient_version AS made
        SET snapshot = taken.survivor_before || jsonb_build_object(
                'version', made.version,
                'updatedAt', made.snapshot -> 'updatedAt',
                'restricted', made.snapshot -> 'restricted')
        WHERE made.patient_id = taken.survivor_id
          AND made.version > (taken.survivor_before ->> 'version')::bigint
          AND made.version < (SELECT min(version) FROM patients.patient_version AS undone
                              WHERE undone.patient_id = taken.survivor_id
                                AND undone.kind = 'UNMERGE' AND undone.at >= taken.undone_at);
        UPDATE patients.merge AS later
        SET survivor_before = CASE WHEN survivor_id = taken.survivor_id
                                   THEN taken.survivor_before ELSE survivor_before END,
            duplicate_before = CASE WHEN duplicate_id = taken.survivor_id
                                    THEN taken.survivor_before ELSE duplicate_before END
        WHERE taken.survivor_id IN (survivor_id, duplicate_id) AND id <> taken.id
          AND merged_at >= taken.merged_at AND undone_at <= taken.undone_at;
        UPDATE patients.idempotency_key
        SET status = 404, content_type = NULL, entity_tag = NULL, location = NULL, body = ''
        WHERE subject = taken.survivor_id
          AND created_at BETWEEN taken.merged_at AND taken.undone_at;
    END LOOP;
    -- What is left under its id stays as closed as the record that continues it.
    UPDATE patients.patient AS merged SET restricted = true
    FROM patients.patient AS survivor
    WHERE merged.id = erase.patient AND survivor.id = merged.merged_into
      AND survivor.restricted AND NOT merged.restricted;
    INSERT INTO patients.erased_patient (id, restricted)
    SELECT id, restricted FROM patients.patient WHERE id = erase.patient;
    UPDATE patients.idempotency_key
    SET status = 404, content_type = NULL, entity_tag = NULL, location = NULL, body = ''
    WHERE subject = erase.patient;
    DELETE FROM patients.patient WHERE id = erase.patient;
    RETURN last + 1;
END
$$;

REVOKE ALL ON FUNCTION patients.erase FROM PUBLIC;
