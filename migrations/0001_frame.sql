-- oldest: 1
-- The frame: accounts, keys, the ledger's beginnings, contacts and groups.
-- One text for both engines; crates/store/README.md says what may be used.
-- Time is microseconds since the epoch, money is micro-units of the currency.
-- Tenant tables begin their keys with the root account (a partner and its children live together).

-- Global: what this database knows about itself, such as the check value of the master key.
CREATE TABLE setting (
    name TEXT NOT NULL PRIMARY KEY,
    value BYTEA NOT NULL
) CLUSTERED;

-- Global: a generation per kind of cached thing, raised in the unit that changes one.
CREATE TABLE change (
    kind TEXT NOT NULL PRIMARY KEY,
    generation BIGINT NOT NULL
) CLUSTERED;

-- Global directory of accounts. A partner is its own root.
CREATE TABLE account (
    id BIGINT NOT NULL PRIMARY KEY,
    root BIGINT NOT NULL,
    name TEXT NOT NULL,
    email TEXT NOT NULL,
    currency TEXT NOT NULL,
    status TEXT NOT NULL,
    invoice_aggregation BOOLEAN NOT NULL,
    created BIGINT NOT NULL,
    updated BIGINT NOT NULL
);
CREATE INDEX account_by_root ON account (root, id);

-- Global: what only a partner has.
CREATE TABLE partner (
    root BIGINT NOT NULL PRIMARY KEY,
    handle TEXT NOT NULL,
    country TEXT NOT NULL,
    logo_url TEXT,
    webhook_url TEXT,
    redirect_url TEXT,
    clients_add_numbers BOOLEAN NOT NULL,
    settings TEXT NOT NULL
);
CREATE UNIQUE INDEX partner_by_handle ON partner (handle);

-- Global: every key that opens something, found by the SHA-256 of its text. Operator keys have root and account 0.
CREATE TABLE access_key (
    hash BYTEA NOT NULL PRIMARY KEY,
    id BYTEA NOT NULL,
    root BIGINT NOT NULL,
    account BIGINT NOT NULL,
    role TEXT NOT NULL,
    name TEXT NOT NULL,
    created BIGINT NOT NULL,
    revoked BIGINT
);
CREATE UNIQUE INDEX access_key_by_id ON access_key (id);
CREATE INDEX access_key_by_account ON access_key (account, id);

CREATE TABLE signing_key (
    root BIGINT NOT NULL,
    account BIGINT NOT NULL,
    sealed BYTEA NOT NULL,
    created BIGINT NOT NULL,
    PRIMARY KEY (root, account)
) CLUSTERED;

-- Counts that lists show, kept by the units that change them.
CREATE TABLE tally (
    root BIGINT NOT NULL,
    account BIGINT NOT NULL,
    contacts BIGINT NOT NULL,
    groups BIGINT NOT NULL,
    PRIMARY KEY (root, account)
) CLUSTERED;

-- A balance is the sum of its transfers: credits less debits. The operator's rows have root and account 0.
CREATE TABLE balance (
    root BIGINT NOT NULL,
    account BIGINT NOT NULL,
    currency TEXT NOT NULL,
    posted BIGINT NOT NULL,
    held BIGINT NOT NULL,
    postpaid BOOLEAN NOT NULL,
    credit_limit BIGINT NOT NULL,
    PRIMARY KEY (root, account, currency)
) CLUSTERED;

-- The books: append-only, one row moves one amount from one account to another.
CREATE TABLE transfer (
    root BIGINT NOT NULL,
    id BYTEA NOT NULL,
    debit BIGINT NOT NULL,
    credit BIGINT NOT NULL,
    currency TEXT NOT NULL,
    amount BIGINT NOT NULL,
    reason TEXT NOT NULL,
    created BIGINT NOT NULL,
    PRIMARY KEY (root, id)
);

-- Price of one message part to numbers that begin with the prefix.
CREATE TABLE rate (
    root BIGINT NOT NULL,
    account BIGINT NOT NULL,
    prefix TEXT NOT NULL,
    amount BIGINT NOT NULL,
    updated BIGINT NOT NULL,
    PRIMARY KEY (root, account, prefix)
) CLUSTERED;

CREATE TABLE contact (
    root BIGINT NOT NULL,
    account BIGINT NOT NULL,
    id BYTEA NOT NULL,
    msisdn BIGINT NOT NULL,
    first_name TEXT NOT NULL,
    last_name TEXT NOT NULL,
    custom1 TEXT NOT NULL,
    custom2 TEXT NOT NULL,
    custom3 TEXT NOT NULL,
    custom4 TEXT NOT NULL,
    groups BIGINT NOT NULL,
    created BIGINT NOT NULL,
    updated BIGINT NOT NULL,
    PRIMARY KEY (root, account, id)
);
CREATE UNIQUE INDEX contact_by_msisdn ON contact (root, account, msisdn);

-- The words of a contact's names, folded: narrows a search by name in a large account.
CREATE TABLE contact_word (
    root BIGINT NOT NULL,
    account BIGINT NOT NULL,
    word TEXT NOT NULL,
    contact BYTEA NOT NULL,
    PRIMARY KEY (root, account, word, contact)
) CLUSTERED;

CREATE TABLE contact_group (
    root BIGINT NOT NULL,
    account BIGINT NOT NULL,
    id BYTEA NOT NULL,
    name TEXT NOT NULL,
    members BIGINT NOT NULL,
    created BIGINT NOT NULL,
    updated BIGINT NOT NULL,
    PRIMARY KEY (root, account, id)
);

CREATE TABLE membership (
    root BIGINT NOT NULL,
    account BIGINT NOT NULL,
    grp BYTEA NOT NULL,
    contact BYTEA NOT NULL,
    PRIMARY KEY (root, account, grp, contact)
) CLUSTERED;
CREATE INDEX membership_by_contact ON membership (root, account, contact, grp);

-- Deleted contacts and groups whose memberships were too many for the deleting unit: a sweep removes the rest.
CREATE TABLE leaving (
    root BIGINT NOT NULL,
    account BIGINT NOT NULL,
    side TEXT NOT NULL,
    id BYTEA NOT NULL,
    PRIMARY KEY (root, account, side, id)
) CLUSTERED;
