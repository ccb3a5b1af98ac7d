CREATE TABLE billing.payment (
    id             uuid        PRIMARY KEY,
    account_id     uuid        NOT NULL REFERENCES billing.account,
    version        bigint      NOT NULL DEFAULT 1 CHECK (version > 0),
    state          text        NOT NULL DEFAULT 'RECORDED' CONSTRAINT payment_state_known CHECK (
                       state IN ('RECORDED', 'REVERSED')
                   ),
    method         text        NOT NULL CONSTRAINT payment_method_known CHECK (
                       method IN ('CASH', 'CARD', 'TRANSFER')
                   ),
    currency       text        NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    amount         bigint      NOT NULL CHECK (amount BETWEEN 1 AND 999999999999999),
    reference      text        CHECK (char_length(reference) BETWEEN 1 AND 100),
    payment_date   date        NOT NULL CHECK (isfinite(payment_date)),
    -- What it was used for. What is being refunded counts from the request on.
    allocated      bigint      NOT NULL DEFAULT 0 CHECK (allocated >= 0),
    refunded       bigint      NOT NULL DEFAULT 0 CHECK (refunded >= 0),
    credit         bigint      NOT NULL GENERATED ALWAYS AS (
                       CASE state WHEN 'RECORDED' THEN amount - allocated - refunded ELSE 0 END
                   ) STORED,
    recorded_by    uuid,
    reversed_by    uuid,
    created_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    reversed_at    timestamptz,
    reverse_reason text        CHECK (char_length(reverse_reason) BETWEEN 1 AND 200),
    CONSTRAINT payment_used_once CHECK (allocated + refunded <= amount),
    CONSTRAINT payment_unused_when_reversed CHECK (state = 'RECORDED' OR (allocated = 0 AND refunded = 0)),
    CONSTRAINT payment_reversed_at_a_time CHECK (
        num_nulls(reversed_at, reverse_reason) = CASE state WHEN 'REVERSED' THEN 0 ELSE 2 END
    ),
    -- The same transfer or slip is recorded once, for ever, whoever repeats it.
    CONSTRAINT payment_reference_unique UNIQUE (method, reference)
);

CREATE INDEX payment_of_account ON billing.payment (account_id, id);
CREATE INDEX payment_with_credit ON billing.payment (account_id, id) WHERE credit > 0;

CREATE FUNCTION billing.keep_payment() RETURNS trigger
    LANGUAGE plpgsql
AS $$
BEGIN
    IF TG_OP = 'DELETE' OR OLD.state = 'REVERSED' OR
        (NEW.id, NEW.account_id, NEW.method, NEW.currency, NEW.amount, NEW.reference,
         NEW.payment_date, NEW.recorded_by, NEW.created_at)
        IS DISTINCT FROM
        (OLD.id, OLD.account_id, OLD.method, OLD.currency, OLD.amount, OLD.reference,
         OLD.payment_date, OLD.recorded_by, OLD.created_at)
    THEN
        RAISE EXCEPTION 'a payment is never changed or removed' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER payment_is_kept BEFORE UPDATE OR DELETE ON billing.payment
    FOR EACH ROW EXECUTE FUNCTION billing.keep_payment();
CREATE TRIGGER payment_is_not_emptied BEFORE TRUNCATE ON billing.payment
    FOR EACH STATEMENT EXECUTE FUNCTION billing.refuse_change();

-- What payments are used for, now. How it came to that is in the ledger.
CREATE TABLE billing.allocation (
    payment_id uuid   NOT NULL REFERENCES billing.payment,
    invoice_id uuid   NOT NULL REFERENCES billing.invoice,
    amount     bigint NOT NULL CHECK (amount >= 0),
    -- When it was last added to: what is credited is taken back from the newest.
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (payment_id, invoice_id)
);

CREATE INDEX allocation_of_invoice ON billing.allocation (invoice_id);

CREATE TABLE billing.refund (
    id                     uuid        PRIMARY KEY,
    payment_id             uuid        NOT NULL REFERENCES billing.payment,
    version                bigint      NOT NULL DEFAULT 1 CHECK (version > 0),
    state                  text        NOT NULL DEFAULT 'REQUESTED' CONSTRAINT refund_state_known CHECK (
                               state IN ('REQUESTED', 'APPROVED', 'REJECTED', 'COMPLETED')
                           ),
    amount                 bigint      NOT NULL CHECK (amount BETWEEN 1 AND 999999999999999),
    method                 text        NOT NULL CHECK (method IN ('CASH', 'CARD', 'TRANSFER')),
    reason                 text        NOT NULL CHECK (char_length(reason) BETWEEN 1 AND 200),
    reference              text        CHECK (char_length(reference) BETWEEN 1 AND 100),
    second_person_required boolean     NOT NULL,
    requested_by           uuid        NOT NULL,
    requested_at           timestamptz NOT NULL DEFAULT clock_timestamp(),
    approved_by            uuid,
    approved_at            timestamptz,
    rejected_by            uuid,
    rejected_at            timestamptz,
    rejection_reason       text        CHECK (char_length(rejection_reason) BETWEEN 1 AND 200),
    completed_by           uuid,
    completed_at           timestamptz,
    CONSTRAINT refund_approved_at_a_time CHECK (
        num_nulls(approved_by, approved_at) IN (0, 2)
        AND CASE state WHEN 'REQUESTED' THEN approved_by IS NULL
                       WHEN 'REJECTED' THEN true
                       ELSE approved_by IS NOT NULL END
    ),
    CONSTRAINT refund_rejected_at_a_time CHECK (
        num_nulls(rejected_by, rejected_at, rejection_reason) = CASE state WHEN 'REJECTED' THEN 0 ELSE 3 END
    ),
    CONSTRAINT refund_completed_at_a_time CHECK (
        num_nulls(completed_by, completed_at) = CASE state WHEN 'COMPLETED' THEN 0 ELSE 2 END
    ),
    CONSTRAINT refund_by_two CHECK (NOT second_person_required OR approved_by <> requested_by)
);

CREATE INDEX refund_of_payment ON billing.refund (payment_id, id);
CREATE INDEX refund_in_state ON billing.refund (state, id);
