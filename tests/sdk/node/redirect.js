// Leads the official Node SDK to a Rookery server without touching the SDK.
//
// The SDK fixes its hosts (`rest.messagebird.com`, …), TLS and port 443. So only two things are overridden, both
// from outside: the address that those names resolve to (here) and the certificate authority that is trusted
// (Node's own NODE_EXTRA_CA_CERTS). The SDK still asks for the vendor's names, still sends them in SNI and `Host`,
// and still verifies the certificate against them.
//
//     NODE_EXTRA_CA_CERTS=ca.pem ROOKERY_TLS_ADDR=127.0.0.1:443 node --require ./redirect.js program.js
//
// A line in /etc/hosts or in the company's DNS does the same for a whole machine, with no file to preload.
'use strict';

const dns = require('dns');
const https = require('https');
const net = require('net');

const [address, port] = parse(process.env.ROOKERY_TLS_ADDR);
const family = net.isIP(address);
const systemLookup = dns.lookup;

dns.lookup = function lookup(hostname, options, callback) {
  if (!/(^|\.)messagebird\.com$/i.test(hostname)) {
    return systemLookup.apply(dns, arguments);
  }
  const done = callback || options;
  // Newer versions of Node ask for all addresses at once and expect a list.
  const all = typeof options === 'object' && options !== null && options.all;
  process.nextTick(() => (all ? done(null, [{ address, family }]) : done(null, address, family)));
};

// Only where port 443 could not be bound. As the agent's default, the port stays out of the `Host` header, so the
// server is asked for the very same origin as on 443.
if (port !== 443) {
  https.globalAgent.defaultPort = port;
}

function parse(text) {
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d+)$/.exec(text || '');
  const host = match && (match[1] || match[2]);
  if (!host || !net.isIP(host)) {
    throw new Error(`ROOKERY_TLS_ADDR must be IP:PORT, for example 127.0.0.1:443 or [::1]:443, not ${JSON.stringify(text)}`);
  }
  return [host, Number(match[3])];
}
