-- What staff have written about a patient goes when the patient is erased, also where it is required of
-- those who change something. What was issued stays as it was, the reason on a credit note included: the
-- patient reads it.

-- In the order of the changes that go on meanwhile.
LOCK TABLE billing.invoice, billing.payment, billing.refund, billing.write_off IN ACCESS EXCLUSIVE MODE;

ALTER TABLE billing.write_off
    ALTER COLUMN reason DROP NOT NULL,
    DROP CONSTRAINT write_off_rejected_at_a_time,
    ADD CONSTRAINT write_off_rejected_at_a_time CHECK (
        num_nulls(rejected_by, rejected_at) = CASE state WHEN 'REJECTED' THEN 0 ELSE 2 END
        AND (state = 'REJECTED' OR rejection_reason IS NULL)
    );

ALTER TABLE billing.refund
    ALTER COLUMN reason DROP NOT NULL,
    DROP CONSTRAINT refund_rejected_at_a_time,
    ADD CONSTRAINT refund_rejected_at_a_time CHECK (
        num_nulls(rejected_by, rejected_at) = CASE state WHEN 'REJECTED' THEN 0 ELSE 2 END
        AND (state = 'REJECTED' OR rejection_reason IS NULL)
    );

ALTER TABLE billing.payment
    DROP CONSTRAINT payment_reversed_at_a_time,
    ADD CONSTRAINT payment_reversed_at_a_time CHECK (
        (state = 'REVERSED') = (reversed_at IS NOT NULL)
        AND (state = 'REVERSED' OR reverse_reason IS NULL)
    );

CREATE OR REPLACE FUNCTION billing.keep_payment() RETURNS trigger
    LANGUAGE plpgsql
AS $$
DECLARE
    without_reason billing.payment := OLD;
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.state = 'REVERSED' AND NEW.reverse_reason IS NULL AND EXISTS (
        SELECT FROM billing.account WHERE id = OLD.account_id AND erased_at IS NOT NULL
    ) THEN
        without_reason.reverse_reason := NULL;
        without_reason.version := NEW.version;
        -- It is not computed yet.
        without_reason.credit := NEW.credit;
        IF NEW IS NOT DISTINCT FROM without_reason THEN
            RETURN NEW;
        END IF;
    END IF;
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

-- Of those who are erased already, too.
UPDATE billing.invoice SET reason = NULL, version = version + 1
FROM billing.account
WHERE account.id = invoice.account_id AND account.erased_at IS NOT NULL AND reason IS NOT NULL;
UPDATE billing.write_off SET reason = NULL, rejection_reason = NULL
FROM billing.invoice JOIN billing.account ON account.id = invoice.account_id
WHERE invoice.id = write_off.invoice_id AND account.erased_at IS NOT NULL;
UPDATE billing.payment SET reverse_reason = NULL, version = version + 1
FROM billing.account
WHERE account.id = payment.account_id AND account.erased_at IS NOT NULL AND reverse_reason IS NOT NULL;
UPDATE billing.refund SET reason = NULL, rejection_reason = NULL, version = refund.version + 1
FROM billing.payment JOIN billing.account ON account.id = payment.account_id
WHERE payment.id = refund.payment_id AND account.erased_at IS NOT NULL;
