-- Which migration the schema has come to, for those who need to know whether it is older than they are.
-- Nobody knows where migrations are recorded elsewhere, as in tests.
CREATE FUNCTION billing.schema_version() RETURNS bigint
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF to_regclass('billing._sqlx_migrations') IS NULL THEN
        RETURN NULL;
    END IF;
    RETURN (SELECT max(version) FROM billing._sqlx_migrations WHERE success);
END
$$;

REVOKE ALL ON FUNCTION billing.schema_version FROM PUBLIC;
