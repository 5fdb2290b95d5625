-- oldest: 1
-- Bounds: thresholds of money that somebody wants to be told of, limits of keys, codes for whoever has lost a second factor.

-- What the statement that moves money compares: the balance below or from which an alert is to be told or has recovered, what
-- is spent when the next one of the day and of the month is to be told. NULL is none. And how many alerts there are.
ALTER TABLE balance ADD COLUMN alerts BIGINT NOT NULL DEFAULT 0;
ALTER TABLE balance ADD COLUMN alert_below BIGINT;
ALTER TABLE balance ADD COLUMN alert_from BIGINT;
ALTER TABLE balance ADD COLUMN alert_day BIGINT;
ALTER TABLE balance ADD COLUMN alert_month BIGINT;

-- A threshold of an account, and who is told: the account itself or its partner. The value is an amount, or of caps a share
-- in percent. Told until: of a balance 0, or the largest number until it recovers; of caps the end of the period. Its row is
-- changed under the lock of the balance's.
CREATE TABLE alert (
    root BIGINT NOT NULL,
    account BIGINT NOT NULL,
    id BYTEA NOT NULL,
    tells BIGINT NOT NULL,
    kind TEXT NOT NULL,
    value BIGINT NOT NULL,
    url TEXT NOT NULL,
    told_until BIGINT NOT NULL,
    crossed BIGINT,
    created BIGINT NOT NULL,
    PRIMARY KEY (root, account, id)
) CLUSTERED;

-- What is told of a crossing, by a callback of whoever is told; kept until that has been rendered and is over.
CREATE TABLE crossing (
    root BIGINT NOT NULL,
    account BIGINT NOT NULL,
    id BYTEA NOT NULL,
    alert BYTEA NOT NULL,
    about BIGINT NOT NULL,
    kind TEXT NOT NULL,
    value BIGINT NOT NULL,
    currency TEXT NOT NULL,
    amount BIGINT NOT NULL,
    cap BIGINT,
    until BIGINT,
    at BIGINT NOT NULL,
    PRIMARY KEY (root, account, id)
) CLUSTERED;
CREATE INDEX crossing_by_time ON crossing (at);
CREATE INDEX callback_alert ON callback (root, account, message) WHERE kind = 'alert';

-- The limits of a key beside those of its account: a row of allowance, which its successors share.
ALTER TABLE access_key ADD COLUMN bounds BYTEA;

-- Codes that open once in place of a second factor's, hashed.
CREATE TABLE recovery_code (
    root BIGINT NOT NULL,
    person BYTEA NOT NULL,
    hash BYTEA NOT NULL,
    account BIGINT NOT NULL,
    PRIMARY KEY (root, person, hash)
) CLUSTERED;
