-- The answers to requests, written with their effects. The same request again gets the same answer.
CREATE TABLE billing.request (
    id          uuid        CONSTRAINT request_pkey PRIMARY KEY,
    method      text        NOT NULL CHECK (char_length(method) BETWEEN 1 AND 60),
    -- Of the account that it was about: who is erased is in no answer any more.
    account_id  uuid        REFERENCES billing.account,
    fingerprint bytea       NOT NULL CHECK (octet_length(fingerprint) = 32),
    answer      bytea       NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX request_created_at ON billing.request (created_at);
CREATE INDEX request_of_account ON billing.request (account_id) WHERE account_id IS NOT NULL;

-- What others have to hear of: see the crate outbox.
CREATE TABLE billing.outbox (
    sequence    bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    patient_id  uuid        NOT NULL,
    message_id  uuid        NOT NULL,
    kind        text        NOT NULL CONSTRAINT outbox_kind_known CHECK (kind = 'BILLING_EVENT'),
    payload     bytea       NOT NULL,
    traceparent text        NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    attempts    integer     NOT NULL DEFAULT 0,
    not_before  timestamptz NOT NULL DEFAULT '-infinity'
);

CREATE INDEX outbox_patient_sequence ON billing.outbox (patient_id, sequence);
CREATE INDEX outbox_line ON billing.outbox (greatest(created_at, not_before), sequence);

REVOKE ALL ON ALL ROUTINES IN SCHEMA billing FROM PUBLIC;
