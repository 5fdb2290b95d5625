-- oldest: 1
-- Books of long lives: what accounts carry forward from day to day, accounts that are gone while money of theirs is still
-- held, and indexes for lists that must not grow with all that there is.

-- The first day of UTC since 1970 that may have entries which no line of carried knows; NULL if there are none.
ALTER TABLE balance ADD COLUMN unclosed BIGINT DEFAULT 0;
CREATE INDEX balance_unclosed ON balance (unclosed) WHERE unclosed IS NOT NULL;

-- What an account's entries sum to from the first one to the end of a day, by reason: what it got and what it paid. Only
-- days with entries have lines; each has one for every reason there has been.
CREATE TABLE carried (
    root BIGINT NOT NULL,
    account BIGINT NOT NULL,
    day BIGINT NOT NULL,
    reason TEXT NOT NULL,
    got_count BIGINT NOT NULL,
    got BIGINT NOT NULL,
    paid_count BIGINT NOT NULL,
    paid BIGINT NOT NULL,
    PRIMARY KEY (root, account, day, reason)
) CLUSTERED;

-- Deleted accounts until nothing is held for them any more, and when to look next.
CREATE TABLE departed (
    root BIGINT NOT NULL,
    account BIGINT NOT NULL,
    since BIGINT NOT NULL,
    due BIGINT NOT NULL,
    PRIMARY KEY (root, account)
) CLUSTERED;
CREATE INDEX departed_due ON departed (due);
INSERT INTO departed (root, account, since, due) SELECT root, id, updated, 0 FROM account WHERE status = 'deleted';

-- Accounts that live: a partner's, and all partners.
CREATE INDEX account_living ON account (root, id) WHERE status <> 'deleted';
CREATE INDEX account_partners ON account (id) WHERE id = root AND status <> 'deleted';

-- The few entries that have a note, for erasures.
CREATE INDEX transfer_noted ON transfer (root, id) WHERE note IS NOT NULL;
