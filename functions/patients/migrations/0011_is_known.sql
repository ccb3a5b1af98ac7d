-- Other services that are asked to keep something of a patient ask whether there is one.
CREATE FUNCTION patients.is_known(patient uuid) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT EXISTS (SELECT FROM patients.patient WHERE id = is_known.patient)
$$;

REVOKE ALL ON FUNCTION patients.is_known FROM PUBLIC;
