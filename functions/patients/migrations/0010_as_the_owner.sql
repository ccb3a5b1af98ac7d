-- Other services call this function and may not touch the tables behind it, so that it runs as the
-- owner, the way audit.append does. Who may call it is said by provision.
ALTER FUNCTION patients.is_restricted SECURITY DEFINER SET search_path = pg_catalog, pg_temp;

REVOKE ALL ON ALL ROUTINES IN SCHEMA patients FROM PUBLIC;
