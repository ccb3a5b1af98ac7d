-- How to reach a patient, for services that write to them. No row: there is no such patient.
CREATE FUNCTION patients.contact_of(
    patient uuid, OUT name text, OUT email text, OUT restricted boolean
) RETURNS SETOF record
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT contact.name, contact.email, contact.restricted
    FROM patients.patient contact
    WHERE contact.id = contact_of.patient;
END;

-- Who may call it is said by provision.
REVOKE ALL ON FUNCTION patients.contact_of FROM PUBLIC;
