// The community node of n8n for channels, unmodified: its actions and its trigger, with the few things around it that n8n
// itself would give.
'use strict';

const assert = require('assert');
const http = require('http');
const { Dialog360 } = require('@pmartino/n8n-nodes-360dialog/dist/nodes/Dialog360/Dialog360.node.js');
const { Dialog360Trigger } = require('@pmartino/n8n-nodes-360dialog/dist/nodes/Dialog360/Dialog360Trigger.node.js');
const { Dialog360Api } = require('@pmartino/n8n-nodes-360dialog/dist/credentials/Dialog360Api.credentials.js');

const partner = process.env.ROOKERY_PARTNER_ID;
const [host, port] = process.env.ROOKERY_ADDR.split(':');

function ask(method, url, headers, body) {
  return new Promise((resolve, reject) => {
    const { hostname, pathname, search } = new URL(url);
    const all = { ...headers, Host: hostname, 'Content-Type': 'application/json' };
    const request = http.request({ host, port, method, path: pathname + search, headers: all }, (answer) => {
      let text = '';
      answer.on('data', (data) => (text += data));
      answer.on('end', () => {
        const value = text ? JSON.parse(text) : undefined;
        if (answer.statusCode < 300) return resolve(value);
        const error = new Error(`Request failed with status code ${answer.statusCode}`);
        error.response = { body: value, status: answer.statusCode };
        // What n8n puts around it.
        error.cause = { response: { body: value, status: answer.statusCode } };
        return reject(error);
      });
    });
    request.on('error', reject);
    request.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

const hub = (method, below, body) =>
  ask(method, `http://hub.360dialog.io/api/v2/partners/${partner}${below}`, { 'X-API-Key': process.env.ROOKERY_PARTNER_KEY }, body);

async function until(what, look) {
  const end = Date.now() + 30000;
  while (Date.now() < end) {
    const found = await look().catch(() => undefined);
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`never: ${what}`);
}

// What n8n is to a node.
function around(key, parameters, more = {}) {
  const credential = new Dialog360Api();
  const names = Object.keys(credential.authenticate.properties.headers);
  return {
    getInputData: () => [{ json: {} }],
    getNode: () => ({ name: 'node', type: 'dialog360', typeVersion: 1, parameters: {} }),
    getNodeParameter: (name, index, fallback) => (name in parameters ? parameters[name] : fallback),
    continueOnFail: () => false,
    helpers: {
      httpRequestWithAuthentication(name, options) {
        assert.strictEqual(name, credential.name);
        return ask(options.method, options.url, { [names[0]]: key }, options.body);
      },
      returnJsonArray: (items) => items.map((json) => ({ json })),
    },
    ...more,
  };
}

async function act(key, parameters) {
  const [[item]] = await new Dialog360().execute.call(around(key, parameters));
  return item.json;
}

async function main() {
  const client = await hub('POST', '/account_sharing/clients', { name: 'Bakery BV', email: 'it@bakery.example' });
  await hub('POST', '/account_sharing/numbers', { client_id: client.client_id, solution_id: '1', waba_external_id: '702100000000011' });
  const channel = await until('a running channel', async () => {
    const all = await hub('GET', `/channels?filters=${encodeURIComponent(JSON.stringify({ client_id: client.client_id }))}`);
    return all.partner_channels.find((one) => one.hub_status === 'live');
  });
  const { api_key: key } = await hub('POST', `/channels/${channel.id}/api_keys`);
  console.log('ok a key');

  const test = new Dialog360Api().test.request;
  const health = await ask(test.method, test.baseURL + test.url, { 'D360-API-KEY': key });
  assert.strictEqual(health.health_status.can_send_message, 'AVAILABLE');
  await assert.rejects(ask(test.method, test.baseURL + test.url, { 'D360-API-KEY': 'wrong' }), /401/);
  console.log('ok the credential test');
  assert.strictEqual((await act(key, { resource: 'account', operation: 'getHealthStatus' })).health_status.can_send_message, 'AVAILABLE');
  console.log('ok health');

  // A customer's workflow: what arrives goes through the trigger.
  const arrived = [];
  const receiver = http.createServer((request, answer) => {
    let text = '';
    request.on('data', (data) => (text += data));
    request.on('end', () => {
      arrived.push(JSON.parse(text));
      answer.end();
    });
  });
  await new Promise((resolve) => receiver.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${receiver.address().port}/webhook`;
  const memory = {};
  const trigger = around(key, {}, { getNodeWebhookUrl: () => url, getWorkflowStaticData: () => memory });
  const methods = new Dialog360Trigger().webhookMethods.default;
  assert.strictEqual(await methods.checkExists.call(trigger), false);
  assert.strictEqual(await methods.create.call(trigger), true);
  assert.strictEqual(await methods.checkExists.call(trigger), true);
  console.log('ok the trigger sets the webhook');

  const base = { resource: 'message', to: '+31 6 1111-2222', recipient: '' };
  const sent = await act(key, { ...base, operation: 'sendText', body: 'Hi', previewUrl: false });
  assert(sent.messageId.startsWith('wamid.') && sent.waId === '31611112222', JSON.stringify(sent));
  console.log('ok a text');
  for (const mediaType of ['image', 'video', 'document', 'audio', 'sticker']) {
    const media = await act(key, { ...base, operation: 'sendMedia', mediaType, link: 'https://acme.example/a', caption: 'x', filename: 'a.pdf' });
    assert(media.messageId, mediaType);
    console.log(`ok ${mediaType}`);
  }
  const waba = channel.waba_account_id;
  await hub('POST', `/waba_accounts/${waba}/waba_templates`, { name: 'order_shipped', category: 'UTILITY', language: 'en',
    components: [{ type: 'BODY', text: 'Order {{1}} shipped', example: { body_text: [['A-17']] } }] });
  const template = await until('an approved template', () =>
    act(key, { ...base, operation: 'sendTemplate', template: 'order_shipped|en', templateFields: { value: { body_1: 'A-17' } } }));
  assert(template.messageId);
  console.log('ok a template, when it is approved');
  await assert.rejects(act(key, { ...base, operation: 'sendTemplate', template: 'nothing|en' }), /was not found/);
  console.log('ok an unknown template');
  await assert.rejects(act(key, { ...base, to: '99900470000', operation: 'sendText', body: 'Hi', previewUrl: false }), /24-hour/);
  console.log('ok the closed window is recognised');

  await act(key, { ...base, to: '99900501000', operation: 'sendText', body: 'Hello', previewUrl: false });
  const came = await until('an answer', async () => {
    for (const payload of arrived.splice(0)) {
      const around_ = { ...trigger, getBodyData: () => payload };
      const out = await new Dialog360Trigger().webhook.call(around_);
      if (out.workflowData) return out.workflowData[0][0].json;
    }
    return undefined;
  });
  assert.deepStrictEqual([came.from, came.text, came.type], ['99900501000', 'Re: Hello', 'text']);
  console.log('ok the trigger reads a message that came in');
  memory.previousWebhookUrl = 'https://before.example/hook';
  await methods.delete.call(trigger);
  const after = await ask('GET', 'http://waba-v2.360dialog.io/v1/configs/webhook', { 'D360-API-KEY': key });
  assert.strictEqual(after.url, 'https://before.example/hook');
  console.log('ok the trigger gives the webhook back');
  receiver.close();
}

main().then(
  () => process.exit(0),
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
