-- For who asks for two things at once that are rare together: without these, all that is not rare
-- is read.
CREATE INDEX record_of_actor_action ON audit.record (actor_id, action, occurred_at, id)
    WHERE actor_id IS NOT NULL;
CREATE INDEX record_not_done_of_actor ON audit.record (actor_id, outcome, occurred_at, id)
    WHERE outcome <> 'SUCCEEDED' AND actor_id IS NOT NULL;
CREATE INDEX record_of_action_outcome ON audit.record (action, outcome, occurred_at, id);

-- What goes together and what does not: otherwise PostgreSQL takes refusals for reads in the same
-- proportion as all else, and looks for them where there are none.
CREATE STATISTICS audit.record_together (mcv)
    ON actor_id, account_id, action, outcome FROM audit.record;
