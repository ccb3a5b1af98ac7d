-- For who asks for what is rare: without it, all the years before the last one are read.
CREATE INDEX record_of_action ON audit.record (action, occurred_at, id);
CREATE INDEX record_not_done ON audit.record (outcome, occurred_at, id) WHERE outcome <> 'SUCCEEDED';
