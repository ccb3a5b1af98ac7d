-- Double entry. Debit is more than 0, credit is less.

-- Each patient's account has two: what they owe, and what they have paid that is not used. Their balances are
-- kept here, so that the database can refuse one of the wrong sign. The clinic's are summed when
-- somebody asks: everybody would wait for them.
CREATE TABLE billing.ledger_account (
    id            bigint  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind          text    NOT NULL CONSTRAINT ledger_account_kind_known CHECK (kind IN (
                      'RECEIVABLE', 'CREDIT',
                      'REVENUE', 'TAX', 'CASH', 'CARD', 'TRANSFER', 'BAD_DEBT'
                  )),
    currency      text    NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    account_id    uuid    REFERENCES billing.account,
    balance       bigint  NOT NULL DEFAULT 0,
    last_sequence bigint  NOT NULL DEFAULT 0 CHECK (last_sequence >= 0),
    CONSTRAINT ledger_account_of_patient CHECK ((kind IN ('RECEIVABLE', 'CREDIT')) = (account_id IS NOT NULL)),
    CONSTRAINT ledger_account_sign CHECK (
        CASE kind WHEN 'RECEIVABLE' THEN balance >= 0 WHEN 'CREDIT' THEN balance <= 0 ELSE balance = 0 END
    ),
    CONSTRAINT ledger_account_unique UNIQUE NULLS NOT DISTINCT (account_id, kind, currency),
    CONSTRAINT ledger_account_currency UNIQUE (id, currency)
);

-- Something that happened. It is taken back by another entry, never changed.
CREATE TABLE billing.entry (
    id             uuid        PRIMARY KEY,
    -- The order in which entries were booked. It has gaps.
    number         bigint      GENERATED ALWAYS AS IDENTITY CONSTRAINT entry_number_unique UNIQUE,
    kind           text        NOT NULL CONSTRAINT entry_kind_known CHECK (kind IN (
                       'INVOICE_ISSUED', 'INVOICE_VOIDED', 'CREDIT_NOTE_ISSUED', 'INVOICE_WRITTEN_OFF',
                       'PAYMENT_RECORDED', 'PAYMENT_REVERSED', 'CREDIT_ALLOCATED',
                       'ALLOCATION_RELEASED', 'REFUND_COMPLETED'
                   )),
    account_id     uuid        NOT NULL REFERENCES billing.account,
    -- The day on the clinic's calendar.
    business_date  date        NOT NULL CHECK (isfinite(business_date)),
    recorded_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- What it is about.
    invoice_id     uuid        REFERENCES billing.invoice,
    credit_note_id uuid        REFERENCES billing.credit_note,
    payment_id     uuid        REFERENCES billing.payment,
    refund_id      uuid        REFERENCES billing.refund,
    actor          uuid,
    request_id     uuid,
    reverses       uuid        REFERENCES billing.entry CONSTRAINT entry_reversed_once UNIQUE,
    -- Its postings are written with it, or never.
    transaction    xid8        NOT NULL DEFAULT pg_current_xact_id(),
    CONSTRAINT entry_about_something CHECK (
        CASE kind
            WHEN 'INVOICE_ISSUED' THEN invoice_id IS NOT NULL
            WHEN 'INVOICE_VOIDED' THEN invoice_id IS NOT NULL AND reverses IS NOT NULL
            WHEN 'CREDIT_NOTE_ISSUED' THEN invoice_id IS NOT NULL AND credit_note_id IS NOT NULL
            WHEN 'INVOICE_WRITTEN_OFF' THEN invoice_id IS NOT NULL
            WHEN 'PAYMENT_RECORDED' THEN payment_id IS NOT NULL
            WHEN 'PAYMENT_REVERSED' THEN payment_id IS NOT NULL AND reverses IS NOT NULL
            WHEN 'REFUND_COMPLETED' THEN payment_id IS NOT NULL AND refund_id IS NOT NULL
            ELSE invoice_id IS NOT NULL AND payment_id IS NOT NULL
        END
    )
);

CREATE INDEX entry_by_date ON billing.entry (business_date, number);
CREATE INDEX entry_of_account ON billing.entry (account_id, business_date, number);
CREATE INDEX entry_of_invoice ON billing.entry (invoice_id) WHERE invoice_id IS NOT NULL;
CREATE INDEX entry_of_payment ON billing.entry (payment_id) WHERE payment_id IS NOT NULL;
-- What happens once is booked once.
CREATE UNIQUE INDEX entry_of_invoice_once ON billing.entry (invoice_id, kind)
    WHERE kind IN ('INVOICE_ISSUED', 'INVOICE_VOIDED');
CREATE UNIQUE INDEX entry_of_credit_note_once ON billing.entry (credit_note_id)
    WHERE kind = 'CREDIT_NOTE_ISSUED';
CREATE UNIQUE INDEX entry_of_payment_once ON billing.entry (payment_id, kind)
    WHERE kind IN ('PAYMENT_RECORDED', 'PAYMENT_REVERSED');
CREATE UNIQUE INDEX entry_of_refund_once ON billing.entry (refund_id) WHERE kind = 'REFUND_COMPLETED';

CREATE TABLE billing.posting (
    entry_id          uuid    NOT NULL REFERENCES billing.entry,
    line              integer NOT NULL CHECK (line > 0),
    ledger_account_id bigint  NOT NULL,
    currency          text    NOT NULL,
    amount            bigint  NOT NULL CHECK (amount <> 0),
    -- On patients' accounts: the place in the account's history, and the balance after it.
    sequence          bigint  CHECK (sequence > 0),
    balance_after     bigint,
    -- What revenue and its tax are for, and how it is taxed.
    code              text,
    tax_rate_ppm      integer,
    PRIMARY KEY (entry_id, line),
    CONSTRAINT posting_in_the_accounts_currency FOREIGN KEY (ledger_account_id, currency)
        REFERENCES billing.ledger_account (id, currency),
    CONSTRAINT posting_sequence_unique UNIQUE (ledger_account_id, sequence),
    CONSTRAINT posting_has_its_balance CHECK (num_nulls(sequence, balance_after) IN (0, 2))
);

CREATE TRIGGER entry_is_final BEFORE UPDATE OR DELETE OR TRUNCATE ON billing.entry
    FOR EACH STATEMENT EXECUTE FUNCTION billing.refuse_change();
CREATE TRIGGER posting_is_final BEFORE UPDATE OR DELETE OR TRUNCATE ON billing.posting
    FOR EACH STATEMENT EXECUTE FUNCTION billing.refuse_change();

-- At the end of its transaction an entry sums to 0 in each currency. The trigger is on the entry,
-- and runs once: on its postings it would add them up for each of them.
CREATE FUNCTION billing.balance_entry() RETURNS trigger
    LANGUAGE plpgsql
AS $$
BEGIN
    IF (SELECT count(*) FROM billing.posting WHERE entry_id = NEW.id) < 2 THEN
        RAISE EXCEPTION 'entry % has fewer than two postings', NEW.id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'entry_balanced';
    END IF;
    IF EXISTS (
        SELECT FROM billing.posting WHERE entry_id = NEW.id GROUP BY currency HAVING sum(amount) <> 0
    ) THEN
        RAISE EXCEPTION 'entry % does not sum to 0', NEW.id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'entry_balanced';
    END IF;
    RETURN NULL;
END
$$;

CREATE CONSTRAINT TRIGGER entry_balanced AFTER INSERT ON billing.entry
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION billing.balance_entry();

-- For the same reason nothing is added to an entry of another transaction.
CREATE FUNCTION billing.close_entry() RETURNS trigger
    LANGUAGE plpgsql
AS $$
BEGIN
    IF EXISTS (
        SELECT FROM added JOIN billing.entry ON entry.id = added.entry_id
        WHERE entry.transaction <> pg_current_xact_id()
    ) THEN
        RAISE EXCEPTION 'nothing is added to an entry later'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'posting_with_its_entry';
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER posting_with_its_entry AFTER INSERT ON billing.posting
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION billing.close_entry();
