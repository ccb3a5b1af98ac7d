-- Invoices go to an address, and follow a patient who changes theirs: an older version of the
-- patient than this changes nothing. Who was erased has no name again.
ALTER TABLE billing.account
    ADD COLUMN address         text        CONSTRAINT account_address_length CHECK (char_length(address) BETWEEN 1 AND 1000),
    ADD COLUMN patient_version bigint      NOT NULL DEFAULT 0 CHECK (patient_version >= 0),
    ADD COLUMN erased_at       timestamptz,
    ADD CONSTRAINT account_erased_knows_nothing
        CHECK (erased_at IS NULL OR (name IS NULL AND email IS NULL AND address IS NULL));
