CREATE SCHEMA IF NOT EXISTS patients;

CREATE TABLE patients.patient (
    id              uuid        PRIMARY KEY,
    -- 1 on creation, one more with every change: the entity tag, and the order of events.
    version         bigint      NOT NULL CHECK (version > 0),
    name            text        NOT NULL CHECK (char_length(name) BETWEEN 1 AND 100),
    email           text        NOT NULL CHECK (char_length(email) BETWEEN 3 AND 254),
    address         text        NOT NULL CHECK (char_length(address) BETWEEN 1 AND 300),
    date_of_birth   date        NOT NULL,
    registered_date date        NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now()
);

-- One patient per mailbox, however the address is capitalised.
CREATE UNIQUE INDEX patient_email_unique ON patients.patient (lower(email));

-- What others must still hear of, written in the transaction that made it true. A row is
-- deleted once it is delivered. The rows of one patient are delivered in this sequence.
CREATE TABLE patients.outbox (
    sequence    bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    patient_id  uuid        NOT NULL,
    message_id  uuid        NOT NULL,
    kind        text        NOT NULL CHECK (kind IN ('BILLING_ACCOUNT', 'PATIENT_EVENT')),
    payload     bytea       NOT NULL,
    traceparent text        NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX outbox_patient_sequence ON patients.outbox (patient_id, sequence);
