-- Whoever has not chosen a password yet cannot log in.
ALTER TABLE auth.user_account
    ALTER COLUMN password_hash DROP NOT NULL,
    -- 1 on creation, one more with every change by an administrator: the entity tag.
    ADD COLUMN version bigint NOT NULL DEFAULT 1
        CONSTRAINT user_account_version_positive CHECK (version > 0);

-- Whom a message with a one-time token is still to be sent to, written in the transaction
-- that makes it due. There is no token in it: that is made when the message is sent. For
-- a password that was forgotten there is a row for whatever address was typed, whether it
-- belongs to an account or not.
CREATE TABLE auth.account_message (
    id              uuid        CONSTRAINT account_message_pkey PRIMARY KEY,
    email           text        COLLATE "C" NOT NULL,
    kind            text        NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),
    attempts        integer     NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL DEFAULT now(),

    CONSTRAINT account_message_kind_known CHECK (kind IN ('INVITATION', 'FORGOTTEN_PASSWORD')),
    CONSTRAINT account_message_once UNIQUE (email, kind)
);

CREATE INDEX account_message_due ON auth.account_message (next_attempt_at);

-- What lets somebody set a password without knowing the old one: the SHA-256 of 256 random
-- bits, good once.
CREATE TABLE auth.one_time_token (
    hash       text        COLLATE "C" CONSTRAINT one_time_token_pkey PRIMARY KEY,
    user_id    uuid        NOT NULL
        CONSTRAINT one_time_token_user REFERENCES auth.user_account (id) ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL
);

CREATE INDEX one_time_token_user ON auth.one_time_token (user_id);
