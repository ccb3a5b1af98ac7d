-- By which a patient opts out of such messages on a channel, without logging in. Random, and the
-- same in all messages.
CREATE TABLE notifications.unsubscribe_token (
    token      text        CONSTRAINT unsubscribe_token_pkey PRIMARY KEY,
    patient_id uuid        NOT NULL,
    kind       text        NOT NULL,
    channel    text        NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),

    CONSTRAINT unsubscribe_token_once UNIQUE (patient_id, kind, channel),
    CONSTRAINT unsubscribe_token_length CHECK (char_length(token) = 22)
);

-- Addresses from which mail has come back for good, or whose owners have complained. In lower case.
CREATE TABLE notifications.suppressed_address (
    address    text        CONSTRAINT suppressed_address_pkey PRIMARY KEY,
    reason     text        NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),

    CONSTRAINT suppressed_address_reason_known CHECK (reason IN ('BOUNCED', 'COMPLAINED'))
);
