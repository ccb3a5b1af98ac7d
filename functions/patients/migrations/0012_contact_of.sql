-- How to reach a patient, for services that write to them. No row: there is no such patient.
CREATE FUNCTION patients.contact_of(patient uuid)
    RETURNS TABLE (name text, email text, restricted boolean)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT contact.name, contact.email, contact.restricted
    FROM patients.patient AS contact
    WHERE contact.id = contact_of.patient
$$;

-- Who may call it is said by provision.
REVOKE ALL ON FUNCTION patients.contact_of FROM PUBLIC;
