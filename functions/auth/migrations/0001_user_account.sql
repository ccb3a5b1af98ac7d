CREATE SCHEMA IF NOT EXISTS auth;

-- Who can log in. E-mail addresses are stored in the one form that login looks them up
-- by (lower case, Unicode NFC); what the application makes of "lower case" beyond ASCII
-- is its own affair, hence the C collation.
CREATE TABLE auth.user_account (
    id            uuid        CONSTRAINT user_account_pkey PRIMARY KEY,
    email         text        COLLATE "C" NOT NULL,
    password_hash text        NOT NULL,
    role          text        NOT NULL,
    disabled      boolean     NOT NULL DEFAULT false,
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now(),

    CONSTRAINT user_account_email_unique UNIQUE (email),
    CONSTRAINT user_account_email_normalised CHECK (email = lower(email) AND length(email) BETWEEN 3 AND 254),
    CONSTRAINT user_account_password_hash_argon2id CHECK (password_hash LIKE '$argon2id$%'),
    CONSTRAINT user_account_role_known CHECK (role IN ('ADMIN', 'CLINICIAN', 'RECEPTIONIST', 'AUDITOR'))
);
