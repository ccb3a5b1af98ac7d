-- What administrators are still to be told by e-mail: that somebody opened a restricted
-- record in an emergency. One row for each of them, written in the transaction of the access.
CREATE TABLE auth.administrator_notice (
    id              uuid        CONSTRAINT administrator_notice_pkey PRIMARY KEY,
    email           text        COLLATE "C" NOT NULL,
    actor_id        uuid        NOT NULL,
    patient_id      uuid        NOT NULL,
    request_id      text        NOT NULL,
    occurred_at     timestamptz NOT NULL DEFAULT now(),
    attempts        integer     NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX administrator_notice_due ON auth.administrator_notice (next_attempt_at);

-- What the patients service calls: it does not know who the administrators are.
CREATE FUNCTION auth.tell_administrators(actor_id uuid, patient_id uuid, request_id text) RETURNS void
    LANGUAGE sql
BEGIN ATOMIC
    INSERT INTO auth.administrator_notice (id, email, actor_id, patient_id, request_id)
    SELECT gen_random_uuid(), account.email, tell_administrators.actor_id,
           tell_administrators.patient_id, tell_administrators.request_id
    FROM auth.user_account account
    WHERE account.role = 'ADMIN' AND NOT account.disabled;
END;
