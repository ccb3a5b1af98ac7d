-- The order in which the relay goes through the patients: who has waited longest, where who has
-- had a turn and is not done waits anew.
CREATE INDEX outbox_line ON patients.outbox (greatest(created_at, not_before), sequence);
