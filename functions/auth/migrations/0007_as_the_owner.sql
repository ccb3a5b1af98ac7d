-- Other services call these functions and may not touch the tables behind them, so that they run as
-- the owner, the way audit.append does. Who may call them is said by provision.
ALTER FUNCTION auth.role_now SECURITY DEFINER SET search_path = pg_catalog, pg_temp;
ALTER FUNCTION auth.names_of SECURITY DEFINER SET search_path = pg_catalog, pg_temp;
ALTER FUNCTION auth.tell_administrators SECURITY DEFINER SET search_path = pg_catalog, pg_temp;

REVOKE ALL ON ALL ROUTINES IN SCHEMA auth FROM PUBLIC;
