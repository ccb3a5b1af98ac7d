-- Invoices that patients are sent, as they were when somebody asked for it. Notifications sends them.
CREATE TABLE billing.delivery (
    -- That of the message, too.
    id         uuid        CONSTRAINT delivery_pkey PRIMARY KEY,
    account_id uuid        NOT NULL REFERENCES billing.account,
    invoice_id uuid        NOT NULL REFERENCES billing.invoice,
    file_name  text        NOT NULL CHECK (char_length(file_name) BETWEEN 1 AND 60),
    -- The PDF. None any more some days later, or when the patient is erased.
    document   bytea       CHECK (octet_length(document) BETWEEN 1 AND 8000000),
    created_by uuid,
    created_at timestamptz NOT NULL
);

CREATE INDEX delivery_of_account ON billing.delivery (account_id);
CREATE INDEX delivery_with_document ON billing.delivery (created_at) WHERE document IS NOT NULL;

-- What is to be sent, for notifications: nothing if the invoice was taken back since.
CREATE FUNCTION billing.document_of(delivery uuid)
    RETURNS TABLE (number text, file_name text, content bytea)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT invoice.number, sent.file_name, sent.document
    FROM billing.delivery AS sent
    JOIN billing.invoice ON invoice.id = sent.invoice_id
    WHERE sent.id = document_of.delivery AND sent.document IS NOT NULL AND invoice.state <> 'VOID'
$$;

-- Who may call it is said by provision.
REVOKE ALL ON FUNCTION billing.document_of FROM PUBLIC;
