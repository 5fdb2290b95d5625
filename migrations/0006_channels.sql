-- oldest: 1
-- Clients' channels: users who sign in, what a partner knows of its clients, business accounts, channels, templates,
-- events, and the messages of channels. A client is a child account; its id is made of the account's number.

-- What a key is for within its account (a channel, a user), and when it ends by itself.
ALTER TABLE access_key ADD COLUMN subject TEXT;
ALTER TABLE access_key ADD COLUMN expires BIGINT;
CREATE INDEX access_key_by_expiry ON access_key (expires) WHERE expires IS NOT NULL;
CREATE INDEX access_key_for ON access_key (account, role, subject) WHERE revoked IS NULL;
CREATE INDEX access_key_replaced ON access_key (revoked) WHERE revoked IS NOT NULL AND role = 'channel';

CREATE INDEX transfer_credit ON transfer (root, credit, id) WHERE reason = 'credit';

ALTER TABLE partner ADD COLUMN token_sign_in BOOLEAN NOT NULL DEFAULT TRUE;
ALTER TABLE partner ADD COLUMN clients_by_email BOOLEAN NOT NULL DEFAULT TRUE;
ALTER TABLE partner ADD COLUMN signed_onboarding BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE partner ADD COLUMN signature_prefix BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE partner ADD COLUMN platform_secret BYTEA;
ALTER TABLE partner ADD COLUMN webhook_headers BYTEA;

-- People. A partner's are one realm (0), since they sign in without naming it; each partner's clients are a realm.
CREATE TABLE person (
    root BIGINT NOT NULL,
    id BYTEA NOT NULL,
    account BIGINT NOT NULL,
    realm BIGINT NOT NULL,
    email TEXT NOT NULL,
    name TEXT NOT NULL,
    password TEXT NOT NULL,
    role TEXT NOT NULL,
    created BIGINT NOT NULL,
    PRIMARY KEY (root, id)
);
CREATE UNIQUE INDEX person_by_email ON person (realm, email);
CREATE INDEX person_by_account ON person (root, account, id);

-- What a partner knows of a child beside its account; a child without a row has the defaults.
CREATE TABLE client (
    root BIGINT NOT NULL,
    account BIGINT NOT NULL,
    sign_up TEXT,
    organisation TEXT,
    contact_name TEXT,
    phone TEXT,
    country TEXT,
    payload TEXT,
    channels_max BIGINT NOT NULL,
    modified BIGINT NOT NULL,
    PRIMARY KEY (root, account)
) CLUSTERED;
CREATE UNIQUE INDEX client_by_sign_up ON client (root, sign_up) WHERE sign_up IS NOT NULL;

-- Global: who carries channels. settings are lines of name and value; token and secret are sealed.
CREATE TABLE transport (
    id BIGINT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    preferred BOOLEAN NOT NULL,
    settings TEXT NOT NULL DEFAULT '',
    token BYTEA,
    secret BYTEA
) CLUSTERED;
CREATE UNIQUE INDEX transport_by_name ON transport (name);
INSERT INTO transport (id, name, kind, preferred) VALUES (1, 'simulated', 'simulated', TRUE);

CREATE TABLE business (
    root BIGINT NOT NULL,
    id TEXT NOT NULL,
    account BIGINT NOT NULL,
    external TEXT NOT NULL,
    owner TEXT,
    name TEXT NOT NULL,
    namespace TEXT NOT NULL,
    status TEXT NOT NULL,
    webhook_url TEXT,
    webhook_headers BYTEA,
    created BIGINT NOT NULL,
    modified BIGINT NOT NULL,
    PRIMARY KEY (root, id)
);
CREATE UNIQUE INDEX business_by_external ON business (root, external);
CREATE INDEX business_by_owner ON business (root, owner) WHERE owner IS NOT NULL;

-- Numbers that are being shared: a request makes one row, however often it is repeated; what comes of it is made later.
CREATE TABLE sharing (
    root BIGINT NOT NULL,
    business TEXT NOT NULL,
    number TEXT NOT NULL,
    account BIGINT NOT NULL,
    solution TEXT NOT NULL,
    plan TEXT,
    phone BIGINT,
    transport BIGINT NOT NULL,
    due BIGINT NOT NULL,
    open BOOLEAN NOT NULL,
    created BIGINT NOT NULL,
    PRIMARY KEY (root, business, number)
);
CREATE INDEX sharing_due ON sharing (transport, due) WHERE open;
CREATE INDEX sharing_by_account ON sharing (root, account) WHERE open;

-- What a message goes out by and comes in by. next is when its life cycle goes on by itself; 0 never.
CREATE TABLE channel (
    root BIGINT NOT NULL,
    id TEXT NOT NULL,
    account BIGINT NOT NULL,
    business TEXT NOT NULL,
    external TEXT NOT NULL,
    msisdn BIGINT NOT NULL,
    name TEXT NOT NULL,
    transport BIGINT NOT NULL,
    stage TEXT NOT NULL,
    plan TEXT,
    app BIGINT NOT NULL,
    permitted BOOLEAN NOT NULL,
    quality TEXT,
    reach BIGINT,
    billed BIGINT,
    cancelled BIGINT,
    terminated BIGINT,
    webhook_url TEXT,
    webhook_headers BYTEA,
    profile TEXT NOT NULL,
    public_key TEXT,
    next BIGINT NOT NULL,
    created BIGINT NOT NULL,
    modified BIGINT NOT NULL,
    PRIMARY KEY (root, id)
);
CREATE UNIQUE INDEX channel_by_external ON channel (root, business, external);
CREATE INDEX channel_by_account ON channel (root, account);
-- Across all tenants: what comes in for a number is one account's.
CREATE UNIQUE INDEX channel_by_number ON channel (transport, external) WHERE terminated IS NULL;
CREATE INDEX channel_next ON channel (next) WHERE next > 0;

CREATE TABLE template (
    root BIGINT NOT NULL,
    id TEXT NOT NULL,
    account BIGINT NOT NULL,
    business TEXT NOT NULL,
    external TEXT NOT NULL,
    name TEXT NOT NULL,
    language TEXT NOT NULL,
    category TEXT NOT NULL,
    components TEXT NOT NULL,
    status TEXT NOT NULL,
    fault TEXT,
    next BIGINT NOT NULL,
    created BIGINT NOT NULL,
    modified BIGINT NOT NULL,
    PRIMARY KEY (root, id)
);
CREATE UNIQUE INDEX template_by_name ON template (root, business, name, language);
CREATE INDEX template_next ON template (next) WHERE next > 0;

-- The bodies of callbacks that carry their own, found by what their callback says its message is. Those about the same
-- thing go out in order.
CREATE TABLE event (
    root BIGINT NOT NULL,
    account BIGINT NOT NULL,
    id BYTEA NOT NULL,
    about BYTEA NOT NULL,
    channel TEXT NOT NULL,
    name TEXT NOT NULL,
    body TEXT NOT NULL,
    created BIGINT NOT NULL,
    PRIMARY KEY (root, account, id)
);
CREATE INDEX event_by_about ON event (root, account, about, created);
CREATE INDEX event_by_age ON event (created);

-- Signatures of onboarding links that were used: each is good for one attempt.
CREATE TABLE spent_signature (
    root BIGINT NOT NULL,
    hash BYTEA NOT NULL,
    created BIGINT NOT NULL,
    PRIMARY KEY (root, hash)
) CLUSTERED;
CREATE INDEX spent_signature_by_age ON spent_signature (created);

-- Price of one message of a channel to numbers that begin with the prefix.
CREATE TABLE channel_rate (
    root BIGINT NOT NULL,
    account BIGINT NOT NULL,
    category TEXT NOT NULL,
    prefix TEXT NOT NULL,
    amount BIGINT NOT NULL,
    PRIMARY KEY (root, account, category, prefix)
) CLUSTERED;

-- What channels have sent, by day and category: counted when it is paid.
CREATE TABLE channel_usage (
    root BIGINT NOT NULL,
    account BIGINT NOT NULL,
    channel TEXT NOT NULL,
    day BIGINT NOT NULL,
    category TEXT NOT NULL,
    quantity BIGINT NOT NULL,
    paid BIGINT NOT NULL,
    price BIGINT NOT NULL,
    PRIMARY KEY (root, account, channel, day, category)
) CLUSTERED;

CREATE TABLE channel_message (
    root BIGINT NOT NULL,
    account BIGINT NOT NULL,
    id BYTEA NOT NULL,
    channel TEXT NOT NULL,
    direction TEXT NOT NULL,
    peer BIGINT NOT NULL,
    kind TEXT NOT NULL,
    category TEXT NOT NULL,
    content TEXT NOT NULL,
    reference TEXT,
    status TEXT NOT NULL,
    error BIGINT,
    currency TEXT NOT NULL,
    price BIGINT NOT NULL,
    created BIGINT NOT NULL,
    changed BIGINT NOT NULL,
    PRIMARY KEY (root, account, id)
);
CREATE INDEX channel_message_by_peer ON channel_message (root, account, channel, peer, id);
CREATE UNIQUE INDEX channel_message_by_reference ON channel_message (reference, channel) WHERE reference IS NOT NULL;

-- Global: the outbox of the transports. marked: 0 waits, else when it was handed over. The row goes when the transport has
-- answered; until then the price is held.
CREATE TABLE channel_part (
    transport BIGINT NOT NULL,
    id BYTEA NOT NULL,
    message BYTEA NOT NULL,
    root BIGINT NOT NULL,
    account BIGINT NOT NULL,
    channel TEXT NOT NULL,
    currency TEXT NOT NULL,
    price BIGINT NOT NULL,
    cost BIGINT NOT NULL,
    marked BIGINT NOT NULL,
    due BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    expires BIGINT NOT NULL,
    PRIMARY KEY (transport, id)
) CLUSTERED;
CREATE INDEX channel_part_waiting ON channel_part (transport, due, id) WHERE marked = 0;
CREATE UNIQUE INDEX channel_part_by_message ON channel_part (message);
CREATE INDEX channel_part_by_expiry ON channel_part (expires);

-- reference is what the network calls a file that was sent. One that came in is wanted from then on, and its message is told
-- when it is here (wanted is 0).
CREATE TABLE channel_media (
    root BIGINT NOT NULL,
    account BIGINT NOT NULL,
    id TEXT NOT NULL,
    channel TEXT NOT NULL,
    kind TEXT NOT NULL,
    hash BYTEA NOT NULL,
    length BIGINT NOT NULL,
    content BYTEA NOT NULL,
    created BIGINT NOT NULL,
    reference TEXT,
    wanted BIGINT NOT NULL DEFAULT 0,
    attempts BIGINT NOT NULL DEFAULT 0,
    transport BIGINT,
    message BYTEA,
    PRIMARY KEY (root, account, id)
);
CREATE INDEX channel_media_wanted ON channel_media (transport, wanted) WHERE wanted > 0;
CREATE INDEX channel_media_by_age ON channel_media (created);
CREATE INDEX channel_media_by_account ON channel_media (root, account, created);
