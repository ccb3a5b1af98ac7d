-- When a patient is erased, the answers about them go. That their requests were answered stays, so that
-- nothing is done again: without its answer, a request was one of theirs.
ALTER TABLE billing.request ALTER COLUMN answer DROP NOT NULL;

-- The answer may be about any account that the change touched: records of a patient may have been
-- merged, and be two again when one of them is erased.
ALTER TABLE billing.request ADD COLUMN other_accounts uuid[] NOT NULL DEFAULT '{}';
CREATE INDEX request_of_other_accounts ON billing.request USING gin (other_accounts)
    WHERE other_accounts <> '{}';
