-- What other services keep of a patient outlives the patient's record, and so does the
-- restriction of it.
CREATE TABLE patients.restricted_before_deletion (
    patient_id uuid CONSTRAINT restricted_before_deletion_pkey PRIMARY KEY
);

CREATE FUNCTION patients.keep_restriction() RETURNS trigger
    LANGUAGE plpgsql
AS $$
BEGIN
    INSERT INTO patients.restricted_before_deletion (patient_id) VALUES (OLD.id);
    RETURN NULL;
END
$$;

CREATE TRIGGER restriction_is_kept
    AFTER DELETE ON patients.patient
    FOR EACH ROW WHEN (OLD.restricted) EXECUTE FUNCTION patients.keep_restriction();

CREATE OR REPLACE FUNCTION patients.is_restricted(patient uuid) RETURNS boolean
    LANGUAGE sql STABLE
    RETURN EXISTS (SELECT FROM patients.patient WHERE id = is_restricted.patient AND restricted)
        OR EXISTS (SELECT FROM patients.restricted_before_deletion WHERE patient_id = is_restricted.patient);
