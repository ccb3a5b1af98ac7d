-- The list of what was issued on some days.

CREATE INDEX invoice_by_issue_date ON billing.invoice (issue_date, id) WHERE issue_date IS NOT NULL;
