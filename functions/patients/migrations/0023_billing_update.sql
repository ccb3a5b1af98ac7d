-- Invoices follow a patient who has another name or address.
ALTER TABLE patients.outbox
    DROP CONSTRAINT outbox_kind_known,
    ADD CONSTRAINT outbox_kind_known CHECK (kind IN (
        'BILLING_ACCOUNT', 'BILLING_UPDATE', 'BILLING_CLOSURE', 'BILLING_REOPENING',
        'BILLING_ERASURE', 'PATIENT_EVENT'));
