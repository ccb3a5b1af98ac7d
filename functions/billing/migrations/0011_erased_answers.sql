-- When a patient is erased, the answers about them go. That their requests were answered stays, so that
-- nothing is done again: without its answer, a request was one of theirs.
ALTER TABLE billing.request ALTER COLUMN answer DROP NOT NULL;
