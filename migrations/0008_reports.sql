-- oldest: 1
-- Reports: rollups of what became of messages, and what the rows of recipients say for them. Erasures of people.

-- By whom it was carried when it ended, which network its number was of when it was first counted, and as what it stands in
-- the rollups. A row that stands there otherwise than it is has an entry in the index: that is all that counting works by.
ALTER TABLE recipient ADD COLUMN carrier BIGINT NOT NULL DEFAULT 0;
ALTER TABLE recipient ADD COLUMN network TEXT;
ALTER TABLE recipient ADD COLUMN counted TEXT;
ALTER TABLE recipient ADD COLUMN counted_price BIGINT NOT NULL DEFAULT 0;
CREATE INDEX recipient_uncounted ON recipient (changed)
    WHERE counted IS NULL OR counted <> status OR counted_price <> price;

-- Recipients of messages by the quarter of an hour in which their message was made.
CREATE TABLE rollup (
    root BIGINT NOT NULL,
    account BIGINT NOT NULL,
    bucket BIGINT NOT NULL,
    direction TEXT NOT NULL,
    kind TEXT NOT NULL,
    country TEXT NOT NULL,
    network TEXT NOT NULL,
    carrier BIGINT NOT NULL,
    status TEXT NOT NULL,
    messages BIGINT NOT NULL,
    parts BIGINT NOT NULL,
    price BIGINT NOT NULL,
    PRIMARY KEY (root, account, bucket, direction, kind, country, network, carrier, status)
) CLUSTERED;
CREATE INDEX rollup_by_time ON rollup (root, bucket);

-- The lines of reports that are read page by page, so that every page is of the same moment.
CREATE TABLE report_result (
    root BIGINT NOT NULL,
    account BIGINT NOT NULL,
    id BYTEA NOT NULL,
    asked BYTEA NOT NULL,
    lines TEXT NOT NULL,
    expires BIGINT NOT NULL,
    PRIMARY KEY (root, account, id)
);
CREATE INDEX report_result_by_expiry ON report_result (expires);

CREATE INDEX message_by_reference ON message (root, account, reference, id) WHERE reference IS NOT NULL;

-- Erasures of people from accounts: of whom is a keyed hash. finished is when nothing was left.
CREATE TABLE erasure (
    root BIGINT NOT NULL,
    account BIGINT NOT NULL,
    subject TEXT NOT NULL,
    begun BIGINT NOT NULL,
    finished BIGINT,
    PRIMARY KEY (root, account, subject)
) CLUSTERED;

-- What an erasure has removed.
CREATE TABLE erased (
    root BIGINT NOT NULL,
    account BIGINT NOT NULL,
    subject TEXT NOT NULL,
    what TEXT NOT NULL,
    removed BIGINT NOT NULL,
    PRIMARY KEY (root, account, subject, what)
) CLUSTERED;

-- Who wants to be written to again though a keyed hash in opt_out says otherwise: it cannot be found without the key.
CREATE TABLE opt_in (
    root BIGINT NOT NULL,
    account BIGINT NOT NULL,
    msisdn BIGINT NOT NULL,
    PRIMARY KEY (root, account, msisdn)
) CLUSTERED;
