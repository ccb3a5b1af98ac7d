CREATE SCHEMA IF NOT EXISTS billing;

-- What a patient is billed through. One per patient: the constraint, not the service,
-- decides between calls that come at the same time.
CREATE TABLE billing.account (
    id         uuid        CONSTRAINT account_pkey PRIMARY KEY,
    patient_id uuid        NOT NULL,
    -- Who invoices go to.
    name       text        NOT NULL,
    email      text        NOT NULL,
    status     text        NOT NULL DEFAULT 'ACTIVE',
    created_at timestamptz NOT NULL DEFAULT now(),

    CONSTRAINT account_patient_unique UNIQUE (patient_id),
    CONSTRAINT account_name_length CHECK (char_length(name) BETWEEN 1 AND 100),
    CONSTRAINT account_email_length CHECK (char_length(email) BETWEEN 3 AND 254),
    CONSTRAINT account_status_known CHECK (status IN ('ACTIVE'))
);
