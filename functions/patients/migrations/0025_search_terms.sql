-- A registration writes a dozen terms, and an import of a file a million: to look for the patient of
-- each was two fifths of what the terms cost. Whoever writes terms holds the patient's row, so there is
-- nobody to look for. That the terms go with the patient is still the database's to see to.
--
-- All locks at once, in the order in which writers take them: one that grows would be a deadlock.
LOCK TABLE patients.patient, patients.search_term IN ACCESS EXCLUSIVE MODE;

CREATE FUNCTION patients.leave_search() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    DELETE FROM patients.search_term WHERE patient_id = OLD.id;
    RETURN NULL;
END
$$;

REVOKE ALL ON FUNCTION patients.leave_search FROM PUBLIC;

CREATE TRIGGER patient_leaves_search
    AFTER DELETE ON patients.patient
    FOR EACH ROW EXECUTE FUNCTION patients.leave_search();

ALTER TABLE patients.search_term DROP CONSTRAINT search_term_of_patient;
