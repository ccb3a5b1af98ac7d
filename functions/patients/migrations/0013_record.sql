-- More of a patient than their name and one address; deletion that can be undone.
--
-- The columns of before stay what they are for everybody who reads them: the official name, the
-- first e-mail address, the first postal address, the first day on which the patient can have been
-- born. Everything else is one document: it is read and written as a whole, and what it holds is
-- decided by the types in functions/patients/src/record. What has to be found or be unique has
-- tables of its own.

CREATE SEQUENCE patients.record_number AS bigint START 100001;

ALTER TABLE patients.patient
    ALTER COLUMN email DROP NOT NULL,
    ALTER COLUMN address DROP NOT NULL,
    -- What the clinic calls the patient by on paper. Given once, never to another patient.
    ADD COLUMN record_number   bigint,
    -- Names, identifiers, telephone numbers and so on. A member that is missing is empty.
    ADD COLUMN record          jsonb       NOT NULL DEFAULT '{}'
        CONSTRAINT patient_record_is_object CHECK (jsonb_typeof(record) = 'object'),
    -- How much of date_of_birth is known. What is not known is 1.
    ADD COLUMN birth_precision text        NOT NULL DEFAULT 'DAY'
        CONSTRAINT patient_birth_precision_known CHECK (birth_precision IN ('DAY', 'MONTH', 'YEAR')),
    ADD COLUMN birth_estimated boolean     NOT NULL DEFAULT false,
    -- Whether others may have the same mailbox: how the clinic wants it when the row is written.
    ADD COLUMN email_shared    boolean     NOT NULL DEFAULT false,
    -- Family name, then given names, folded: the order of lists. Made in Rust.
    ADD COLUMN sort_key        text        COLLATE "C" NOT NULL DEFAULT '',
    -- Which version of the folding the search terms were made with. 0: none are there yet.
    ADD COLUMN indexed_with    smallint    NOT NULL DEFAULT 0,
    -- Whether the record is in use. One that was merged into another is not.
    ADD COLUMN active          boolean     NOT NULL DEFAULT true,
    -- Deleted, and can be restored.
    ADD COLUMN deleted_at      timestamptz,
    -- The record that continues this one. It is never itself merged into another: chains are
    -- flattened.
    ADD COLUMN merged_into     uuid
        CONSTRAINT patient_merged_into_patient REFERENCES patients.patient (id),
    ADD CONSTRAINT patient_not_merged_into_itself CHECK (merged_into <> id),
    ADD CONSTRAINT patient_merged_is_inactive CHECK (merged_into IS NULL OR NOT active),
    ADD CONSTRAINT patient_merged_is_not_deleted CHECK (merged_into IS NULL OR deleted_at IS NULL);

-- In the order in which they were registered.
UPDATE patients.patient AS patient
SET record_number = numbered.number + 100000
FROM (SELECT id, row_number() OVER (ORDER BY id) AS number FROM patients.patient) AS numbered
WHERE numbered.id = patient.id;

SELECT setval('patients.record_number', 100001 + (SELECT count(*) FROM patients.patient), false);

ALTER TABLE patients.patient
    ALTER COLUMN record_number SET DEFAULT nextval('patients.record_number'),
    ALTER COLUMN record_number SET NOT NULL,
    ADD CONSTRAINT patient_record_number_unique UNIQUE (record_number);

-- One patient per mailbox, unless the clinic wants families to share them. Who is deleted or merged
-- into another keeps nobody from theirs.
DROP INDEX patients.patient_email_unique;
CREATE UNIQUE INDEX patient_email_unique ON patients.patient (lower(email))
    WHERE NOT email_shared AND deleted_at IS NULL AND merged_into IS NULL;
CREATE INDEX patient_email ON patients.patient (lower(email)) WHERE email IS NOT NULL;

-- The lists: as registered, by name, by when they changed; those who are deleted; those who are
-- not searchable yet.
CREATE INDEX patient_in_use ON patients.patient (id)
    INCLUDE (restricted) WHERE deleted_at IS NULL AND merged_into IS NULL;
CREATE INDEX patient_by_name ON patients.patient (sort_key, id)
    INCLUDE (restricted) WHERE deleted_at IS NULL AND merged_into IS NULL;
CREATE INDEX patient_changed ON patients.patient (updated_at, id);
CREATE INDEX patient_deleted ON patients.patient (id) WHERE deleted_at IS NOT NULL;
CREATE INDEX patient_merged ON patients.patient (merged_into) WHERE merged_into IS NOT NULL;
CREATE INDEX patient_indexed_with ON patients.patient (indexed_with, id);

-- Numbers that others have given the patient. They stay reserved for as long as the record is
-- there, also while it is deleted.
CREATE TABLE patients.patient_identifier (
    patient_id uuid NOT NULL
        CONSTRAINT patient_identifier_of_patient REFERENCES patients.patient (id) ON DELETE CASCADE,
    system     text NOT NULL CHECK (char_length(system) BETWEEN 1 AND 200),
    value      text NOT NULL CHECK (char_length(value) BETWEEN 1 AND 100),

    CONSTRAINT patient_identifier_unique PRIMARY KEY (system, value)
);

CREATE INDEX patient_identifier_patient ON patients.patient_identifier (patient_id);
CREATE INDEX patient_identifier_value ON patients.patient_identifier (lower(value));

-- What others see of a patient when they resolve an id: the record that is kept.
CREATE FUNCTION patients.canonical(patient uuid) RETURNS uuid
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(
        (SELECT merged_into FROM patients.patient WHERE id = canonical.patient),
        canonical.patient)
$$;

-- Nothing is booked or sent for who is deleted. Who was merged into another is that one.
CREATE OR REPLACE FUNCTION patients.is_known(patient uuid) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT EXISTS (
        SELECT FROM patients.patient
        WHERE id = patients.canonical(is_known.patient) AND deleted_at IS NULL)
$$;

CREATE OR REPLACE FUNCTION patients.contact_of(patient uuid)
    RETURNS TABLE (name text, email text, restricted boolean)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT contact.name, contact.email, contact.restricted
    FROM patients.patient AS contact
    WHERE contact.id = patients.canonical(contact_of.patient) AND contact.deleted_at IS NULL
$$;

REVOKE ALL ON FUNCTION patients.canonical, patients.is_known, patients.contact_of FROM PUBLIC;

-- Who is deleted is billed no more, and who is restored is again: only the outbox row is needed, it
-- says whose account it is. Whose name or address is another has invoices go there.
ALTER TABLE patients.outbox
    DROP CONSTRAINT outbox_kind_known,
    ADD CONSTRAINT outbox_kind_known CHECK (kind IN (
        'BILLING_ACCOUNT', 'BILLING_UPDATE', 'BILLING_CLOSURE', 'BILLING_REOPENING',
        'BILLING_ERASURE', 'PATIENT_EVENT'));

CREATE FUNCTION patients.follow_deletion() RETURNS trigger
    LANGUAGE plpgsql
AS $$
BEGIN
    -- With the accounts of the records that were merged into this one.
    INSERT INTO patients.outbox (patient_id, message_id, kind, payload, traceparent)
    SELECT id, gen_random_uuid(),
           CASE WHEN NEW.deleted_at IS NULL THEN 'BILLING_REOPENING' ELSE 'BILLING_CLOSURE' END,
           '', ''
    FROM patients.patient
    WHERE NEW.id IN (id, merged_into);
    RETURN NULL;
END
$$;

CREATE TRIGGER billing_account_follows_deletion
    AFTER UPDATE OF deleted_at ON patients.patient
    FOR EACH ROW WHEN ((OLD.deleted_at IS NULL) <> (NEW.deleted_at IS NULL))
    EXECUTE FUNCTION patients.follow_deletion();

-- The account of a patient who is erased is closed since their deletion.
DROP TRIGGER billing_account_is_closed ON patients.patient;
CREATE TRIGGER billing_account_is_closed
    AFTER DELETE ON patients.patient
    FOR EACH ROW WHEN (OLD.deleted_at IS NULL) EXECUTE FUNCTION patients.close_billing_account();

REVOKE ALL ON FUNCTION patients.follow_deletion FROM PUBLIC;
