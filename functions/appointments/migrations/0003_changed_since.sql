-- Which appointments were changed since then, for whatever reason: the billing service may not have heard of
-- that yet.
CREATE FUNCTION appointments.changed_since(since timestamptz) RETURNS SETOF uuid
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT id FROM appointments.appointment WHERE updated_at >= changed_since.since
$$;

-- Who may call it is said by provision.
REVOKE ALL ON FUNCTION appointments.changed_since FROM PUBLIC;
