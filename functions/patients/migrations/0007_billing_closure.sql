-- Who is deleted is billed no more: their account is closed, behind whatever else the outbox has
-- of them. A trigger sees to it and not each function, so that nobody is forgotten between a
-- deployment of the functions and its migrations.
ALTER TABLE patients.outbox
    DROP CONSTRAINT outbox_kind_check,
    ADD CONSTRAINT outbox_kind_known
        CHECK (kind IN ('BILLING_ACCOUNT', 'BILLING_CLOSURE', 'PATIENT_EVENT'));

-- The row says whose account it is, and there is nothing more to say.
CREATE FUNCTION patients.close_billing_account() RETURNS trigger
    LANGUAGE plpgsql
AS $$
BEGIN
    INSERT INTO patients.outbox (patient_id, message_id, kind, payload, traceparent)
    VALUES (OLD.id, gen_random_uuid(), 'BILLING_CLOSURE', '', '');
    RETURN NULL;
END
$$;

CREATE TRIGGER billing_account_is_closed
    AFTER DELETE ON patients.patient
    FOR EACH ROW EXECUTE FUNCTION patients.close_billing_account();

-- Once, for those who were deleted before: whose account is there, and whose account is still
-- to be opened. Only the accounts know who they were, so this reads another service's table.
DO $$
BEGIN
    IF to_regclass('billing.account') IS NOT NULL THEN
        INSERT INTO patients.outbox (patient_id, message_id, kind, payload, traceparent)
        SELECT patient_id, gen_random_uuid(), 'BILLING_CLOSURE', '', ''
        FROM (SELECT patient_id FROM billing.account WHERE status = 'ACTIVE'
              UNION
              SELECT patient_id FROM patients.outbox WHERE kind = 'BILLING_ACCOUNT') AS billed
        WHERE NOT EXISTS (SELECT FROM patients.patient WHERE id = billed.patient_id);
    END IF;
END
$$;
