-- oldest: 1
-- The platform's own API: what a key may do and from where, accounts that are about to be deleted, who did what, second
-- factors, spending caps, limits.

-- What a key may do, as bits of core/rights.rs; NULL is everything. From which networks, between commas; NULL is any.
ALTER TABLE access_key ADD COLUMN rights BIGINT;
ALTER TABLE access_key ADD COLUMN networks TEXT;
-- When it was last used, to the minute, and how many requests a second it may make.
ALTER TABLE access_key ADD COLUMN used BIGINT;
ALTER TABLE access_key ADD COLUMN requests BIGINT;

-- Who suspended an account, when it is deleted for good and who asked for that: what the operator did only the operator
-- undoes. Before this only the operator could suspend.
ALTER TABLE account ADD COLUMN held_by TEXT;
ALTER TABLE account ADD COLUMN closes BIGINT;
ALTER TABLE account ADD COLUMN closed_by TEXT;
UPDATE account SET held_by = 'operator' WHERE status = 'suspended';
CREATE INDEX account_closing ON account (closes) WHERE closes IS NOT NULL;

-- What an account may spend in a day and a month of its own calendar, and what it has spent of them until they end.
ALTER TABLE balance ADD COLUMN day_cap BIGINT;
ALTER TABLE balance ADD COLUMN month_cap BIGINT;
ALTER TABLE balance ADD COLUMN day_spent BIGINT NOT NULL DEFAULT 0;
ALTER TABLE balance ADD COLUMN month_spent BIGINT NOT NULL DEFAULT 0;
ALTER TABLE balance ADD COLUMN day_ends BIGINT NOT NULL DEFAULT 0;
ALTER TABLE balance ADD COLUMN month_ends BIGINT NOT NULL DEFAULT 0;

-- Whoever moved money may say what for. Both sides look at their entries.
ALTER TABLE transfer ADD COLUMN note TEXT;
CREATE INDEX transfer_by_debit ON transfer (root, debit, id);
CREATE INDEX transfer_by_credit ON transfer (root, credit, id);

-- Who did what to which object: append-only. What the operator does for itself has root 0.
CREATE TABLE audit (
    root BIGINT NOT NULL,
    id BYTEA NOT NULL,
    account BIGINT NOT NULL,
    at BIGINT NOT NULL,
    actor_kind TEXT NOT NULL,
    actor TEXT NOT NULL,
    address TEXT,
    action TEXT NOT NULL,
    object TEXT NOT NULL,
    detail TEXT NOT NULL,
    PRIMARY KEY (root, id)
);
CREATE INDEX audit_by_account ON audit (root, account, id);

-- Limits of an account, set by whoever is above it, in the row whose bounds are sixteen zeros, and of keys, in rows that
-- access_key names; NULL is none. Countries stand between commas. Until when the messages
-- that were accepted fill the limit by the second.
CREATE TABLE allowance (
    root BIGINT NOT NULL,
    account BIGINT NOT NULL,
    requests BIGINT,
    messages BIGINT,
    price BIGINT,
    countries TEXT,
    per_country BIGINT,
    busy_until BIGINT NOT NULL,
    bounds BYTEA NOT NULL,
    PRIMARY KEY (root, account, bounds)
) CLUSTERED;

-- What the operator has limited, at most: a partner can only tighten it. NULL is no limit of the operator's.
CREATE TABLE ceiling (
    root BIGINT NOT NULL,
    account BIGINT NOT NULL,
    requests BIGINT,
    messages BIGINT,
    price BIGINT,
    countries TEXT,
    per_country BIGINT,
    day_cap BIGINT,
    month_cap BIGINT,
    PRIMARY KEY (root, account)
) CLUSTERED;

-- Recipients in a country on the last day on which there were some.
CREATE TABLE country_count (
    root BIGINT NOT NULL,
    account BIGINT NOT NULL,
    country TEXT NOT NULL,
    day BIGINT NOT NULL,
    recipients BIGINT NOT NULL,
    bounds BYTEA NOT NULL,
    PRIMARY KEY (root, account, bounds, country)
) CLUSTERED;

-- What somebody who signs in proves beside the password. The last step of time that was used is not used again.
CREATE TABLE second_factor (
    root BIGINT NOT NULL,
    person BYTEA NOT NULL,
    account BIGINT NOT NULL,
    sealed BYTEA NOT NULL,
    confirmed BOOLEAN NOT NULL,
    step BIGINT NOT NULL,
    failures BIGINT NOT NULL,
    locked BIGINT NOT NULL,
    PRIMARY KEY (root, person)
) CLUSTERED;
