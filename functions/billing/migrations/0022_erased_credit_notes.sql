-- The reason of a credit note is on no document, so that it goes with the patient, too. Nothing else of
-- a credit note ever changes.

-- In the order of the changes that go on meanwhile.
LOCK TABLE billing.invoice, billing.credit_note IN ACCESS EXCLUSIVE MODE;

ALTER TABLE billing.credit_note ALTER COLUMN reason DROP NOT NULL;

CREATE FUNCTION billing.keep_credit_note() RETURNS trigger
    LANGUAGE plpgsql
AS $$
DECLARE
    without_reason billing.credit_note := OLD;
BEGIN
    without_reason.reason := NULL;
    IF TG_OP = 'UPDATE' AND NEW IS NOT DISTINCT FROM without_reason AND EXISTS (
        SELECT FROM billing.invoice JOIN billing.account ON account.id = invoice.account_id
        WHERE invoice.id = OLD.invoice_id AND account.erased_at IS NOT NULL
    ) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'rows of %.% are never changed or removed', TG_TABLE_SCHEMA, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END
$$;

DROP TRIGGER credit_note_is_final ON billing.credit_note;
CREATE TRIGGER credit_note_is_final BEFORE UPDATE OR DELETE ON billing.credit_note
    FOR EACH ROW EXECUTE FUNCTION billing.keep_credit_note();
CREATE TRIGGER credit_note_is_not_emptied BEFORE TRUNCATE ON billing.credit_note
    FOR EACH STATEMENT EXECUTE FUNCTION billing.refuse_change();

-- The service itself may only add credit notes.
CREATE FUNCTION billing.erase_credit_reasons(account uuid) RETURNS void
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    UPDATE billing.credit_note SET reason = NULL
    FROM billing.invoice
    WHERE invoice.id = credit_note.invoice_id AND invoice.account_id = erase_credit_reasons.account
        AND credit_note.reason IS NOT NULL
$$;

REVOKE ALL ON FUNCTION billing.erase_credit_reasons FROM PUBLIC;

-- Of those who are erased already, too.
UPDATE billing.invoice SET version = version + 1
FROM billing.account
WHERE account.id = invoice.account_id AND account.erased_at IS NOT NULL
    AND EXISTS (SELECT FROM billing.credit_note WHERE credit_note.invoice_id = invoice.id);
SELECT billing.erase_credit_reasons(id) FROM billing.account WHERE erased_at IS NOT NULL;
