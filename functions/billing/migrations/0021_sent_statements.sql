-- Statements are sent like invoices. A delivery is about either: an invoice, or a period.
ALTER TABLE billing.delivery
    ALTER COLUMN invoice_id DROP NOT NULL,
    ADD COLUMN from_date date,
    ADD COLUMN to_date date,
    -- A statement is about all accounts of the patient: these are theirs by a merge.
    ADD COLUMN other_accounts uuid[] NOT NULL DEFAULT '{}',
    ADD CONSTRAINT delivery_of_invoice_or_period CHECK (
        num_nulls(from_date, to_date) = CASE WHEN invoice_id IS NULL THEN 0 ELSE 2 END
        AND from_date <= to_date
        AND (invoice_id IS NULL OR other_accounts = '{}')
    );

CREATE INDEX delivery_of_other_accounts ON billing.delivery USING gin (other_accounts)
    WHERE other_accounts <> '{}';

-- Which statement is to be sent, for notifications: nothing if the merge of which it is a statement was
-- undone since, because it would tell one patient about another.
CREATE FUNCTION billing.statement_of(delivery uuid)
    RETURNS TABLE (from_date date, to_date date, file_name text, content bytea)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT sent.from_date, sent.to_date, sent.file_name, sent.document
    FROM billing.delivery AS sent
    JOIN billing.account AS own ON own.id = sent.account_id
    WHERE sent.id = statement_of.delivery AND sent.document IS NOT NULL AND sent.invoice_id IS NULL
        AND NOT EXISTS (
            SELECT FROM billing.account AS other
            WHERE other.id = ANY(sent.other_accounts)
                AND other.patient_id <> ALL(patients.ids_of(own.patient_id))
        );
END
$$;

-- Who may call it is said by provision.
REVOKE ALL ON FUNCTION billing.statement_of FROM PUBLIC;
